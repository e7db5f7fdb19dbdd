package progress

import (
	"sync"
	"time"
)

// window is how far back a rate looks: long enough to be steady, short enough to follow
// a task that gets slower.
const window = 15 * time.Second

// A rate measures the speed of a task. It is safe for concurrent use. The zero value is ready
// to use.
type rate struct {
	mu      sync.Mutex
	samples []sample // oldest first
}

type sample struct {
	at   time.Time
	done int64
}

// add adds a measurement and drops old ones.
func (r *rate) add(at time.Time, done int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, sample{at, done})
	for len(r.samples) > 2 && at.Sub(r.samples[1].at) >= window {
		r.samples = r.samples[1:]
	}
}

// perSecond returns zero until there are two measurements.
func (r *rate) perSecond() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) < 2 {
		return 0
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	return max(0, float64(last.done-first.done)/last.at.Sub(first.at).Seconds())
}
