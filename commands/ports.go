package commands

import (
	"context"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/appending"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// A Log is what an [Executor] needs of the log. [eventlog.Log] implements it. It must be safe
// for concurrent use.
type Log interface {
	// Topic names the log in traces.
	Topic() string
	// Append appends events in order and returns the position after the last one. If the error
	// wraps [eventlog.ErrOutcomeUnknown], the events may still arrive. All other errors mean that
	// nothing was appended.
	appending.Log
	// End asks the broker for the end of the log.
	End(ctx context.Context) (events.Position, error)
	// Barrier appends a record that only moves the position, and returns the position after it.
	// Its success proves that the broker which took it still leads the log.
	Barrier(ctx context.Context) (events.Position, error)
}

// Nodes knows which log formats the nodes of the log can read. [roster.Formats] implements it. It must
// be safe for concurrent use.
type Nodes interface {
	// Read returns nil if all running nodes can read a log format. The error is a
	// [roster.OlderNodeError] if one can't, or that of the log.
	Read(ctx context.Context, format int) error
}

// A WriteModel is what an [Executor] needs of the projection on which it decides.
// [projections.Projection] implements it. It must be safe for concurrent use.
type WriteModel interface {
	// Expect and Stuck are used to append events and learn their verdicts.
	appending.Model
	// Position returns the position up to which the model has applied the log.
	Position() events.Position
	// WaitFor waits until the model has reached a position. It returns ctx.Err() if ctx ends
	// first.
	WaitFor(ctx context.Context, position events.Position) error
	// Entity reads an entity, also a deleted one, and the position that the answer is valid for.
	Entity(ctx context.Context, collection, id string) (e reads.Entity, found bool, at events.Position, err error)
	// ReadAsMissing takes as long for an entity that was in the cache as Entity takes for one that
	// does not exist.
	ReadAsMissing(ctx context.Context, collection, id string) error
	// Holder returns the living entity that holds a claim, or an empty string.
	Holder(ctx context.Context, collection, claim string) (id string, err error)
	// Holders returns the living entities that hold claims, by claim. Claims that no entity holds
	// are missing.
	Holders(ctx context.Context, collection string, claims []string) (map[string]string, error)
	// KeyUse returns the use of an idempotency key within its window.
	KeyUse(ctx context.Context, key string) (use reads.KeyUse, used bool, err error)
	// UsedKeys returns which of the keys have a use that KeyUse would return.
	UsedKeys(ctx context.Context, keys []string) (map[string]bool, error)
	// ReportDamage reports that the model returned data that it can't have stored. It returns
	// the error to answer with.
	ReportDamage(found error) error
}
