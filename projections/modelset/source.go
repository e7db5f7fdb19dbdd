// Package modelset keeps the read models of a folder of SQL files up to date. Each model has a file, a
// position and a goroutine of its own, so that a slow or failing model holds up no other. A model
// whose definition has changed is built beside the one that serves, and replaces it once it has
// caught up.
package modelset

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// Wants says whether a model needs an event, and whether it needs the document before the event.
type Wants func(collection string, kind events.Kind) (event, previous bool)

// A Source has the admitted events in order. It is safe for concurrent use.
type Source interface {
	// Position is the position up to which the source currently has the events.
	Position() events.Position
	// CaughtUp returns a channel that is closed once the source has caught up with the log. Until then its
	// position may be far from the end of the log.
	CaughtUp() <-chan struct{}
	// Next waits until there are records after a position. It returns the wanted events among at
	// most max, and the position up to which it has looked, which is beyond after. The error is
	// ctx.Err() or one that may pass.
	Next(ctx context.Context, after events.Position, max int, wants Wants) (batch []sqlmodel.Event, to events.Position, err error)
}

// FromJournal returns the events of the journal of a projection.
func FromJournal(p *projections.Projection) Source { return journalSource{p} }

type journalSource struct{ model *projections.Projection }

// Position implements [Source].
func (s journalSource) Position() events.Position { return s.model.Position() }

// CaughtUp implements [Source].
func (s journalSource) CaughtUp() <-chan struct{} { return s.model.CaughtUp() }

// errEnough ends a read of the journal.
var errEnough = errors.New("the batch is full")

// Next implements [Source].
func (s journalSource) Next(ctx context.Context, after events.Position, max int, wants Wants) (batch []sqlmodel.Event, to events.Position, err error) {
	if err := s.model.WaitFor(ctx, after+1); err != nil {
		return nil, after, err
	}
	j, release, err := s.model.Journal()
	if err != nil {
		return nil, after, err
	}
	defer release()
	seen := 0
	to, err = j.Each(ctx, after, s.model.Position(), func(e *journal.Entry) error {
		if seen == max {
			return errEnough
		}
		seen++
		kind := e.Event.Kind
		if kind == events.Restored {
			kind = events.Created // for a model, which has removed the entity, it is another creation
		}
		wanted, previous := wants(e.Event.Collection, kind)
		if !wanted {
			return nil
		}
		next := sqlmodel.Event{
			Position: e.Position, Time: e.Event.Time, Kind: kind,
			Collection: e.Event.Collection, ID: e.Event.EntityID, Version: e.Event.Version,
			Document: slices.Clone(e.Event.Document),
		}
		if previous && e.Event.Version > 1 {
			before, err := j.Version(next.Collection, next.ID, next.Version-1)
			if err != nil {
				return fmt.Errorf("read the version before position %d: %w", next.Position, err)
			}
			next.Previous = slices.Clone(before.Event.Document)
		}
		batch = append(batch, next)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, after, fmt.Errorf("read the journal: %w", err)
	}
	return batch, to, nil
}
