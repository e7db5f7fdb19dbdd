// Package lifecycle tracks the state of a projection: its position in the log, the state
// machine that decides whether it may serve, and the callers that wait for a position.
package lifecycle

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// Progress tracks the position of a projection, and its distance to the end of the log.
type Progress struct {
	at atomic.Int64 // the position; every request reads it

	mu          sync.Mutex
	end         events.Position // the last known end of the log
	heardEnd    bool            // since Run started or the file was replaced
	target      events.Position // the first end that was heard
	behindSince time.Time       // zero if not behind
	rate        float64         // records per second while there is work, smoothed
	lastBatch   time.Time
}

// Position is the number of records applied so far.
func (p *Progress) Position() events.Position { return events.Position(p.at.Load()) }

// Restore sets the position that the file was left at.
func (p *Progress) Restore(position events.Position) {
	p.at.Store(int64(position))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(time.Now())
}

// Applied sets the position after a batch.
func (p *Progress) Applied(position events.Position) {
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

// Heard sets the end of the log.
func (p *Progress) Heard(end events.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.heardEnd {
		// Take the first end, not the latest, because under steady writes there is always a
		// later one.
		p.heardEnd, p.target = true, end
	}
	p.end = end
	p.settle(time.Now())
}

// Restart discards what is known of the end of the log: the projection has to catch up again.
func (p *Progress) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heardEnd, p.behindSince = false, time.Time{}
}

func (p *Progress) settle(now time.Time) {
	position := p.Position()
	p.end = max(p.end, position)
	switch {
	case position >= p.end:
		p.behindSince = time.Time{}
	case p.behindSince.IsZero():
		p.behindSince = now
	}
}

// Lag returns the last known end of the log, how many records are not applied yet, and for how
// many seconds there have been such records.
func (p *Progress) Lag() (end events.Position, behind int64, seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.behindSince.IsZero() {
		seconds = time.Since(p.behindSince).Seconds()
	}
	return p.end, int64(p.end - p.Position()), seconds
}

// ReachedTarget reports whether the position is at least the end that the log had when the
// worker first asked for it.
func (p *Progress) ReachedTarget() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heardEnd && p.Position() >= p.target
}

// Ready returns the reason why the projection is not up to date: it has not caught up yet, or
// it has been behind the log for longer than maxLag. Every read calls it, so it takes the lock
// and the time at most once.
func (p *Progress) Ready(caughtUp bool, maxLag time.Duration) error {
	p.mu.Lock()
	heard, end, since := p.heardEnd, p.end, p.behindSince
	p.mu.Unlock()
	switch {
	case !heard:
		return fmt.Errorf("starting: at position %d; the end of the log is not known yet", p.Position())
	case !caughtUp:
		return fmt.Errorf("catching up: at position %d of %d", p.Position(), end)
	case maxLag <= 0 || since.IsZero():
		return nil
	}
	if behind := time.Since(since); behind > maxLag {
		return fmt.Errorf("behind the log for %.1f s, more than %s: at position %d of %d", behind.Seconds(), maxLag, p.Position(), end)
	}
	return nil
}

// Speed is the recent number of applied records per second, or zero when idle.
func (p *Progress) Speed() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.lastBatch) < time.Second {
		return p.rate
	}
	return 0
}
