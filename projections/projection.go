package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// DefaultMaxBatch is the most records in one transaction. More gain little: the cost
// of a commit is by then a small part.
const DefaultMaxBatch = 1000

// Options say what to project, and where to.
type Options struct {
	// Dir is the node's data folder; the caller holds its lock. The file in it is
	// [FileName].
	Dir string
	// Log is where the records come from.
	Log *eventlog.Log
	// Collections are the declared ones. Others that the log names are kept too, just
	// without columns.
	Collections *collections.Set
	// Logger takes what an operator has to know. Nil discards it.
	Logger *slog.Logger
	// MaxBatch is the most records in one transaction; zero means [DefaultMaxBatch].
	MaxBatch int
}

// A Projection is a read model and the worker that keeps it up. It serves reads as
// soon as it is open; [Projection.Run] applies the log. Safe for concurrent use.
type Projection struct {
	options  Options
	db       *database
	writer   *writer // used by Run alone
	reads    reads
	waiters  waiters
	verdicts verdicts
	progress progress
	running  atomic.Bool
	// exporting holds a token for each long snapshot.
	exporting chan struct{}

	mu        sync.Mutex
	digests   map[string]Summary
	summaryAt events.Position // what digests belong to
	topicID   string
	refused   error // why the worker stopped for good
	failing   error // why it is trying again
}

// A Summary sums up one collection at the projection's position.
type Summary struct {
	// Living is how many entities live.
	Living int64
	// Digest stands for all rows, tombstones included.
	Digest Digest
}

// Open opens the file, or makes it, and brings its tables to what is declared. It
// returns an [ErrRefused] for a file of another version. It needs no broker.
func Open(ctx context.Context, options Options) (*Projection, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.MaxBatch <= 0 {
		options.MaxBatch = DefaultMaxBatch
	}
	db, err := openDatabase(ctx, filepath.Join(options.Dir, FileName), options.Collections)
	if err != nil {
		return nil, err
	}
	p := &Projection{options: options, db: db, reads: reads{db: db}, exporting: make(chan struct{}, exports)}
	if p.writer, err = newWriter(ctx, db); err != nil {
		return nil, errors.Join(err, db.close())
	}
	p.progress.restore(p.writer.position)
	p.summarize()
	p.waiters.advance(p.writer.position)
	return p, nil
}

// Close closes the file. Run must have returned.
func (p *Projection) Close() error {
	return errors.Join(p.reads.close(), p.writer.close(), p.db.close())
}

// Position is how many records have been applied.
func (p *Projection) Position() events.Position { return p.progress.position() }

// WaitFor returns when all records before position are applied. Else it returns
// ctx.Err(), or the reason why the projection has stopped for good: an [ErrRefused].
func (p *Projection) WaitFor(ctx context.Context, position events.Position) error {
	if p.progress.position() >= position {
		return nil
	}
	return p.waiters.wait(ctx, position)
}

// Err tells why the projection has stopped for good, an [ErrRefused], or nil. What it
// holds can still be read.
func (p *Projection) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// publish makes the state after a batch visible, then wakes those who wait for it.
func (p *Projection) publish(done []judged) {
	p.summarize()
	p.progress.applied(p.writer.position)
	p.waiters.advance(p.writer.position)
	p.verdicts.announce(done)
}

func (p *Projection) summarize() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.summaryAt, p.topicID = p.writer.position, p.writer.meta[metaTopicID]
	p.digests = make(map[string]Summary, len(p.writer.digests))
	for name, d := range p.writer.digests {
		p.digests[name] = Summary{Living: d.Living, Digest: d.Digest}
	}
}

// refuse stops the projection for good.
func (p *Projection) refuse(err error) {
	p.mu.Lock()
	p.refused, p.failing = err, nil
	p.mu.Unlock()
	p.waiters.stop(err)
}

// fail notes a passing failure, or with nil its end.
func (p *Projection) fail(err error) {
	p.mu.Lock()
	was := p.failing
	p.failing = err
	p.mu.Unlock()
	switch {
	case err != nil && (was == nil || was.Error() != err.Error()):
		p.options.Logger.Warn("can't apply the log, trying again", "error", err, "position", p.Position())
	case err == nil && was != nil:
		p.options.Logger.Info("applying the log again", "position", p.Position())
	}
}

// Ready tells whether the projection has caught up with the log since Run started, is
// not stopped, and has not been behind for longer than maxLag. The error says why not.
// A broker that is away does not make it unready: it serves on from what it has.
func (p *Projection) Ready(maxLag time.Duration) error {
	p.mu.Lock()
	refused, failing := p.refused, p.failing
	p.mu.Unlock()
	switch {
	case refused != nil:
		return refused
	case failing != nil && !errors.Is(failing, eventlog.ErrUnreachable):
		return fmt.Errorf("can't apply the log: %w", failing)
	}
	return p.progress.ready(maxLag)
}
