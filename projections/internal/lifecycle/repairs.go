package lifecycle

import "time"

// repairPauses are the pauses before a repair, by the number of repairs within repairWindow.
// Storage that damages one file after another must not keep the node rebuilding forever.
var repairPauses = []time.Duration{0, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}

const repairWindow = time.Hour

// Repairs remembers the times of the latest repairs.
type Repairs struct{ began []time.Time }

// Pause returns how long to wait before the next repair.
func (r *Repairs) Pause(now time.Time) time.Duration {
	recent := 0
	for _, at := range r.began {
		if now.Sub(at) < repairWindow {
			recent++
		}
	}
	return repairPauses[min(recent, len(repairPauses)-1)]
}

// Note remembers a repair that just ended.
func (r *Repairs) Note(now time.Time) {
	r.began = append(r.began, now)
	if n := len(r.began) - len(repairPauses); n > 0 {
		r.began = r.began[n:]
	}
}

const (
	// fillPauseMin and fillPauseMax bound the growing pauses between attempts to fill a journal.
	fillPauseMin = time.Minute
	fillPauseMax = time.Hour
)

// Filling decides when to fill a journal that is incomplete. One goroutine uses it.
type Filling struct {
	since, retry time.Time
	pause        time.Duration
}

// Due reports whether to begin. incomplete is whether the journal is incomplete at the moment, and
// patience how long it may be.
func (f *Filling) Due(incomplete bool, patience time.Duration, now time.Time) bool {
	if !incomplete {
		*f = Filling{}
		return false
	}
	if f.since.IsZero() {
		f.since = now
	}
	return now.Sub(f.since) >= patience && !now.Before(f.retry)
}

// Began records the beginning of an attempt.
func (f *Filling) Began(now time.Time) {
	f.pause = min(max(2*f.pause, fillPauseMin), fillPauseMax)
	f.retry = now.Add(f.pause)
}
