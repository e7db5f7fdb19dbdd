package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// A Replica is a read model that is built from the beginning of the log, as far as its
// holder wants, to hold others against it. One goroutine uses it.
type Replica struct{ builder *builder }

// OpenReplica begins a read model in a folder, which its holder removes in the end. It
// returns a [RefusedError] if the log no longer holds its first record.
func OpenReplica(ctx context.Context, dir string, log *eventlog.Log) (*Replica, error) {
	undeclared := new(collections.Set) // rows don't depend on what is declared
	g, err := openGeneration(ctx, filepath.Join(dir, FileName), undeclared, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	b, err := newBuilder(ctx, g, log, builderBatch)
	if err != nil {
		return nil, err
	}
	return &Replica{b}, nil
}

// Position is how many records have been applied.
func (r *Replica) Position() events.Position { return r.builder.writer.position }

// Advance applies the log up to a position. It never goes back. progress is called after
// each batch.
func (r *Replica) Advance(ctx context.Context, to events.Position, progress func(at events.Position)) error {
	for {
		done, err := r.builder.step(ctx, bound{position: to})
		if err != nil {
			return err
		}
		if progress(r.Position()); done {
			return nil
		}
	}
}

// Snapshot opens a snapshot at the replica's position.
func (r *Replica) Snapshot(ctx context.Context) (*Snapshot, error) {
	reader, err := r.builder.db.exports.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin a snapshot: %w", err)
	}
	return begin(reader, func() {}, nil)
}

// Close closes the file.
func (r *Replica) Close() error { return errors.Join(r.builder.stop(), r.builder.close()) }
