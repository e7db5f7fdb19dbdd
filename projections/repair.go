package projections

import (
	"context"
	"errors"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/internal/lifecycle"
)

// repairRetry is the pause after a repair that failed for a reason unrelated to the storage: the
// broker is unreachable, or another rebuild is running.
const repairRetry = time.Second

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

// guardJournal rebuilds the projection from the log if its journal is incomplete or damaged. The
// node serves reads all the time.
func (p *Projection) guardJournal(ctx context.Context) {
	var filling lifecycle.Filling
	every(ctx, guardEvery, func() {
		var why error
		if j, release, err := p.Journal(); err == nil {
			why = j.Incomplete()
			release()
		}
		if !filling.Due(why != nil, p.options.JournalFillAfter, time.Now()) || p.State() != StateFollowing || !p.life.HasCaughtUp() {
			return
		}
		if err := p.StartRebuild(RebuildOptions{}); err == nil {
			p.options.Logger.Info("rebuilding from the log to fill the journal of events; reads go on meanwhile", "reason", why)
			filling.Began(time.Now())
		}
	})
}
