package projections

import (
	"context"
	"errors"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// ErrNoJournal means that the projection keeps no journal: see [Options.Journal].
var ErrNoJournal = errors.New("this node keeps no journal of events")

// Journal returns the journal of the generation that serves. Everything up to [Projection.Position]
// is in it. The caller must call release, and soon, because a rebuild waits for it before it removes
// the files that it has replaced. A caller that follows the journal takes it again for each read.
func (p *Projection) Journal() (j *journal.Journal, release func(), err error) {
	g := p.hold()
	if g.Journal == nil {
		g.Release()
		return nil, nil, ErrNoJournal
	}
	return g.Journal, g.Release, nil
}

// JournalStatus describes a journal. The JSON names are part of the admin interface.
type JournalStatus struct {
	// Start is the position at which the journal begins. It is 0 if the journal is complete.
	Start events.Position `json:"start"`
	// Bytes is the size of its files.
	Bytes int64 `json:"bytes"`
	// Damage says what was found to be damaged.
	Damage string `json:"damage,omitempty"`
}

// JournalStatus returns the status of the journal, or nil if none is kept.
func (p *Projection) JournalStatus() *JournalStatus {
	j, release, err := p.Journal()
	if err != nil {
		return nil
	}
	defer release()
	status := &JournalStatus{Start: j.Start(), Bytes: j.Bytes()}
	if damage := j.Damage(); damage != nil {
		status.Damage = damage.Error()
	}
	return status
}

// keepJournal opens the journal of a generation, or removes it if none is to be kept.
func (o Options) keepJournal(g *generation.Generation) error {
	if !o.Journal {
		return g.DropJournal()
	}
	return g.KeepJournal(o.Logger)
}

const (
	// fillPauseMin and fillPauseMax bound the growing pauses between attempts to fill a journal.
	fillPauseMin = time.Minute
	fillPauseMax = time.Hour
)

// guardJournal rebuilds the projection from the log if its journal is incomplete or damaged. The
// node serves reads all the time.
func (p *Projection) guardJournal(ctx context.Context) {
	var since, retry time.Time
	pause := fillPauseMin
	every(ctx, guardEvery, func() {
		now := time.Now()
		why := p.journalFault()
		switch {
		case why == nil:
			since, retry, pause = time.Time{}, time.Time{}, fillPauseMin
			return
		case since.IsZero():
			since = now
		}
		if now.Sub(since) < p.options.JournalFillAfter || now.Before(retry) || p.State() != StateFollowing || !p.life.HasCaughtUp() {
			return
		}
		retry, pause = now.Add(pause), min(2*pause, fillPauseMax)
		err := p.StartRebuild(RebuildOptions{})
		if errors.Is(err, ErrRebuilding) {
			retry = time.Time{} // soon again
			return
		}
		p.options.Logger.Info("rebuilding from the log to fill the journal of events; reads go on meanwhile", "reason", why, "error", err)
	})
}

// journalFault returns what is wrong with the journal of the generation that serves, or nil.
func (p *Projection) journalFault() error {
	j, release, err := p.Journal()
	if err != nil {
		return nil //nolint:nilerr // there is nothing to fill
	}
	defer release()
	if err := j.Damage(); err != nil {
		return err
	}
	if j.Start() > 0 {
		return journal.ErrNotHeld
	}
	return nil
}
