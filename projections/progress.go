package projections

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// progress tells how far a projection is, and how far behind.
type progress struct {
	at atomic.Int64 // the position; read on every request

	mu          sync.Mutex
	end         events.Position // as last heard
	heardEnd    bool            // since Run started
	target      events.Position // the first end heard
	caughtUp    bool            // with target
	behindSince time.Time       // zero if not behind
	rate        float64         // records a second, while there is work; smoothed
	lastBatch   time.Time
}

func (p *progress) position() events.Position { return events.Position(p.at.Load()) }

// restore notes the position that the file was left at.
func (p *progress) restore(position events.Position) {
	p.at.Store(int64(position))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(time.Now())
}

// applied notes the position after a batch.
func (p *progress) applied(position events.Position) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := int64(position) - p.at.Swap(int64(position))
	if span := now.Sub(p.lastBatch).Seconds(); span > 0 && span < 1 {
		p.rate += (float64(taken)/span - p.rate) * min(1, span)
	}
	p.lastBatch = now
	p.settle(now)
}

// heard notes the end of the log.
func (p *progress) heard(end events.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.heardEnd {
		// The first end, not the latest: under steady writes there is always a newer one.
		p.heardEnd, p.target = true, end
	}
	p.end = end
	p.settle(time.Now())
}

// restart notes that nothing was heard of the log for a while: it has to catch up again.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heardEnd, p.caughtUp, p.behindSince = false, false, time.Time{}
}

func (p *progress) settle(now time.Time) {
	position := p.position()
	p.end = max(p.end, position)
	p.caughtUp = p.caughtUp || p.heardEnd && position >= p.target
	switch {
	case position >= p.end:
		p.behindSince = time.Time{}
	case p.behindSince.IsZero():
		p.behindSince = now
	}
}

// lag returns the last known end of the log, how many records are not applied yet, and for how
// many seconds there have been such records.
func (p *progress) lag() (end events.Position, behind int64, seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.behindSince.IsZero() {
		seconds = time.Since(p.behindSince).Seconds()
	}
	return p.end, int64(p.end - p.position()), seconds
}

// hasCaughtUp tells whether it has been where the log ended when Run started.
func (p *progress) hasCaughtUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.caughtUp
}

// ready is asked on every read, so it asks for the lock and the time at most once.
func (p *progress) ready(maxLag time.Duration) error {
	p.mu.Lock()
	heard, caughtUp, end, since := p.heardEnd, p.caughtUp, p.end, p.behindSince
	p.mu.Unlock()
	switch {
	case !heard:
		return fmt.Errorf("starting: at position %d; the end of the log is not known yet", p.position())
	case !caughtUp:
		return fmt.Errorf("catching up: at position %d of %d", p.position(), end)
	case maxLag <= 0 || since.IsZero():
		return nil
	}
	if behind := time.Since(since); behind > maxLag {
		return fmt.Errorf("behind the log for %.1f s, more than %s: at position %d of %d", behind.Seconds(), maxLag, p.position(), end)
	}
	return nil
}

// speed is how many records a second were applied lately; zero when idle.
func (p *progress) speed() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.lastBatch) < time.Second {
		return p.rate
	}
	return 0
}
