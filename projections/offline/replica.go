package offline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// A Replica is a read model for comparisons. Its holder builds it from the beginning of the log up
// to any position. One goroutine uses it.
type Replica struct{ builder *generation.Builder }

// OpenReplica begins a read model in a folder that the caller removes afterwards. It returns a
// [refusal.Error] if the log no longer holds its first record.
func OpenReplica(ctx context.Context, dir string, log *eventlog.Log) (*Replica, error) {
	undeclared := new(collections.Set) // rows do not depend on declarations
	g, err := generation.Open(ctx, filepath.Join(dir, datafolder.FileName), undeclared, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	b, err := generation.NewBuilder(ctx, g, log, generation.DefaultMaxBatch)
	if err != nil {
		return nil, err
	}
	return &Replica{b}, nil
}

// Position is the number of records applied so far.
func (r *Replica) Position() events.Position { return r.builder.Writer.Position }

// Advance applies the log up to a position. It never goes back. progress is called after each
// batch.
func (r *Replica) Advance(ctx context.Context, to events.Position, progress func(at events.Position)) error {
	for {
		done, err := r.builder.Step(ctx, generation.Bound{Position: to})
		if err != nil {
			return err
		}
		if progress(r.Position()); done {
			return nil
		}
	}
}

// BeginRead opens a read transaction at the replica's position.
func (r *Replica) BeginRead(ctx context.Context) (*reads.Tx, error) {
	reader, err := r.builder.DB.Exports.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin a read transaction: %w", err)
	}
	return reads.Begin(reader, r.builder.DB.Path, func() {}, nil)
}

// Close closes the file.
func (r *Replica) Close() error { return errors.Join(r.builder.Stop(), r.builder.Close()) }
