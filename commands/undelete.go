package commands

import (
	"context"
	"errors"
	"fmt"

	"github.com/clusterlite/clusterlite/commands/history"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// deletedState is state for a Restore of a deleted entity.
func (x *Executor) deletedState(ctx context.Context, c Command, deleted reads.Entity, at events.Position) (State, entityAt, error) {
	before, err := x.beforeDeletion(ctx, c, deleted.Version, at)
	if err != nil {
		return State{}, entityAt{}, err
	}
	if !c.Asker.Policy.MayRead(c.Asker.Caller, before.Rendered) {
		return State{}, entityAt{}, nil // what the caller could not read does not exist for it
	}
	s := State{Version: deleted.Version, Deleted: true, CreatedAt: deleted.CreatedAt}
	if len(c.Kept) > 0 {
		if s.Document, err = document.Parse(before.Document); err != nil {
			return State{}, entityAt{}, x.Model.ReportDamage(fmt.Errorf("read the document of %s/%s before its deletion: %w", c.Collection.Name(), c.ID, err))
		}
	}
	return s, entityAt{events.Entity{
		Collection: c.Collection.Name(), ID: deleted.ID, Version: deleted.Version, Deleted: true,
		CreatedAt: deleted.CreatedAt, UpdatedAt: deleted.UpdatedAt, Rendered: before.Rendered,
	}, at}, nil
}

// beforeDeletion returns an entity as it was before a version that is its deletion.
func (x *Executor) beforeDeletion(ctx context.Context, c Command, version int64, at events.Position) (history.Version, error) {
	v, err := history.Find(x.History, c.Collection.Name(), c.ID, version-1)
	if errors.Is(err, journal.ErrNotFound) {
		// The journal shows a batch only after the read model does.
		if err := x.Model.WaitFor(ctx, at); err != nil {
			return v, fmt.Errorf("%w: %w", ErrBehind, err)
		}
		v, err = history.Find(x.History, c.Collection.Name(), c.ID, version-1)
	}
	if errors.Is(err, journal.ErrNotFound) {
		return v, fmt.Errorf("%w: %w", history.ErrUnreadable, err)
	}
	return v, err
}

// readable returns an error if a node could not read an event that needs a newer log format. The node
// would stop before it.
func (x *Executor) readable(ctx context.Context, e events.Event) error {
	if x.Nodes == nil || e.Kind.Format() == events.Created.Format() {
		return nil
	}
	return x.Nodes.Read(ctx, e.Kind.Format())
}
