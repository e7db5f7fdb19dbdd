package queryapi

import (
	"context"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// A Log is what reads need of the log. [eventlog.Log] implements it. It must be safe for
// concurrent use.
type Log interface {
	// End asks the broker for the end of the log.
	End(ctx context.Context) (events.Position, error)
	// Barrier appends a record that only moves the position, and returns the position after it.
	// Its success proves that the broker which took it still leads the log.
	Barrier(ctx context.Context) (events.Position, error)
}

// A ReadModel is what reads need of a projection that follows the log.
// [projections.Projection] implements it. It must be safe for concurrent use.
type ReadModel interface {
	// Position returns the position up to which the model has applied the log.
	Position() events.Position
	// WaitFor waits until the model has reached a position. It returns ctx.Err() if ctx ends
	// first.
	WaitFor(ctx context.Context, position events.Position) error
	// Ready returns why the model must not answer reads, or nil. A model is not ready before it
	// has caught up, and once it has been behind for longer than maxLag.
	Ready(maxLag time.Duration) error
	// Stuck returns why the model can't apply the log, or nil.
	Stuck() error
	// ReportDamage reports that the model returned data that it can't have stored. It returns
	// the error to answer with.
	ReportDamage(found error) error

	// Entity reads an entity, also a deleted one, and the position that the answer is valid for.
	Entity(ctx context.Context, collection, id string) (e reads.Entity, found bool, at events.Position, err error)
	// ReadAsMissing takes as long for an entity that was in the cache as Entity takes for one that
	// does not exist.
	ReadAsMissing(ctx context.Context, collection, id string) error
	// BeginRead begins a read transaction for one page. The caller must close it.
	BeginRead(ctx context.Context) (*reads.Tx, error)
	// BeginLongRead begins a read transaction that may take minutes. Their number is limited. The
	// caller must close it.
	BeginLongRead(ctx context.Context) (*reads.Tx, error)

	// Journal returns the journal of events, and a function that the caller calls when it has
	// read. The error says that the node keeps none.
	Journal() (j *journal.Journal, release func(), err error)

	// CachedPage returns the page that KeepPage stored for a query, and the position that it is
	// valid for. If there is none, the caller passes the ticket to KeepPage with the page that it
	// reads.
	CachedPage(collection, query string) (page any, at events.Position, ticket projections.Ticket)
	// KeepPage stores a page, unless the model has changed the collection since the ticket.
	KeepPage(ticket projections.Ticket, at events.Position, collection, query string, page any, bytes int)
}
