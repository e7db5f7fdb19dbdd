package projections

import (
	"errors"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

// repairPauses are the pauses before a repair, by the number of repairs within repairWindow.
// Storage that damages one file after another must not keep the node rebuilding forever.
var repairPauses = []time.Duration{0, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}

const (
	repairWindow = time.Hour
	// repairRetry is the pause after a repair that failed for a reason unrelated to the
	// storage: the broker is unreachable, or another rebuild is running.
	repairRetry = time.Second
)

// repairs remembers the times of the latest repairs.
type repairs struct{ began []time.Time }

// pause returns how long to wait before the next repair.
func (r *repairs) pause(now time.Time) time.Duration {
	recent := 0
	for _, at := range r.began {
		if now.Sub(at) < repairWindow {
			recent++
		}
	}
	return repairPauses[min(recent, len(repairPauses)-1)]
}

// note remembers a repair that just ended.
func (r *repairs) note(now time.Time) {
	r.began = append(r.began, now)
	if n := len(r.began) - len(repairPauses); n > 0 {
		r.began = r.began[n:]
	}
}

// repair rebuilds the projection until the damaged file is replaced, by repair or by an
// operator, or until the projection is closed.
func (p *Projection) repair() {
	from := p.options.RepairFrom
	for {
		repaired, damage := p.life.Damaged()
		if damage == nil {
			return
		}
		if pause := p.storage.pauseBeforeRepair(); pause > 0 {
			p.options.Logger.Warn("the projection was repaired, or a repair was attempted, a short time ago; delaying the next repair", "pause", pause, "damage", damage)
			if !p.pauseRepair(pause, repaired) {
				return
			}
		}
		err := p.rebuildNow(RebuildOptions{From: from})
		if err != nil && from != nil && !passes(err) {
			p.options.Logger.Warn("no snapshot can be used for the repair; reading the log from its beginning", "error", err)
			from = nil
			err = p.rebuildNow(RebuildOptions{})
		}
		switch {
		case err == nil || errors.Is(err, errClosed):
			return
		case passes(err):
			if !p.pauseRepair(repairRetry, repaired) {
				return
			}
		default:
			p.storage.noteRepair(false)
		}
	}
}

// passes reports whether a repair failed for a reason unrelated to the storage.
func passes(err error) bool {
	return errors.Is(err, ErrRebuilding) || errors.Is(err, eventlog.ErrUnreachable)
}

// rebuildNow rebuilds the projection and waits for the result.
func (p *Projection) rebuildNow(options RebuildOptions) error {
	if err := p.StartRebuild(options); err != nil {
		return err
	}
	p.mu.Lock()
	r := p.rebuild
	p.mu.Unlock()
	<-r.settled // Close cancels the rebuild
	return r.err
}

// pauseRepair returns false if nothing is left to repair.
func (p *Projection) pauseRepair(pause time.Duration, repaired <-chan struct{}) bool {
	select {
	case <-time.After(pause):
		return true
	case <-repaired:
		return false
	case <-p.closing:
		return false
	}
}
