package projections

import (
	"context"
	"log/slog"
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
	// [FileName], a link to the generation that serves.
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
	// Applied, if not nil, is told of each batch once it is committed and those who wait
	// for it are woken. The next batch waits until it returns.
	Applied func(Batch)
}

// A Projection is a read model and the worker that keeps it up. It serves reads as
// soon as it is open; [Projection.Run] applies the log. Safe for concurrent use.
type Projection struct {
	options  Options
	folder   folder
	serving  atomic.Pointer[generation]
	applying sync.Mutex // held while a batch is applied, and while generations are swapped
	waiters  waiters
	verdicts verdicts
	progress progress
	// checkpoints are the last that the log had.
	checkpoints checkpoints
	running     atomic.Bool
	fitted      bool // the file has fitted the log since Run started; used by Run alone
	// hadCaughtUp tells that the file has been as far as the log was, now or in an earlier
	// run.
	hadCaughtUp atomic.Bool

	mu        sync.Mutex
	digests   map[string]Summary
	digested  mark // what digests belong to
	topicID   string
	refused   error          // why the worker stopped
	failing   error          // why it is trying again
	rebuild   *rebuild       // the last
	rebuilds  sync.WaitGroup // of the one that runs or puts away what it replaced
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// Open opens the file, or makes it, and brings its tables to what is declared. It
// returns an [ErrRefused] for a file of another version. It needs no broker.
func Open(ctx context.Context, options Options) (*Projection, error) {
	p := &Projection{
		options: options.withDefaults(), folder: folder{options.Dir},
		closing: make(chan struct{}),
	}
	path, err := p.folder.open()
	if err != nil {
		return nil, err
	}
	g, err := openGeneration(ctx, path, options.Collections, p.options.Logger)
	if err != nil {
		return nil, err
	}
	p.serving.Store(g)
	p.hadCaughtUp.Store(g.writer.meta[metaCaughtUp] != "")
	p.progress.restore(g.writer.position)
	p.summarize(g.writer)
	p.waiters.advance(g.writer.position)
	return p, nil
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBatch <= 0 {
		o.MaxBatch = DefaultMaxBatch
	}
	return o
}

func (p *Projection) closed() bool { return over(p.closing) }

// Close cancels a rebuild and closes the file. Run must have returned. It may be called
// more than once, and then returns what it returned first.
func (p *Projection) Close() error {
	p.closeOnce.Do(func() { p.closeErr = p.close() })
	return p.closeErr
}

func (p *Projection) close() error {
	p.mu.Lock()
	close(p.closing)
	r := p.rebuild
	p.mu.Unlock()
	if r != nil {
		r.cancel(errClosed)
	}
	p.rebuilds.Wait()
	return p.serving.Load().close()
}

// Position is how many records have been applied.
func (p *Projection) Position() events.Position { return p.progress.position() }

// WaitFor returns when all records before position are applied. Else it returns
// ctx.Err(), or the reason why the projection has stopped: an [ErrRefused].
func (p *Projection) WaitFor(ctx context.Context, position events.Position) error {
	if p.progress.position() >= position {
		return nil
	}
	return p.waiters.wait(ctx, position)
}

// Err tells why the projection has stopped, an [ErrRefused], or nil. What it holds can
// still be read.
func (p *Projection) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// apply takes a batch into the generation that serves, makes the state after it visible,
// then wakes those who wait for it.
func (p *Projection) apply(records []events.Record) error {
	batch, err := p.applyServing(records)
	if batch.Len() > 0 && p.options.Applied != nil {
		p.options.Applied(batch)
	}
	return err
}

func (p *Projection) applyServing(records []events.Record) (Batch, error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	w := p.serving.Load().writer
	batch := Batch{Began: time.Now()}
	var err error
	// Without a context that can end: a batch that was begun is finished, and such a one
	// costs the driver a goroutine for each statement.
	batch.judged, err = w.apply(context.Background(), records)
	batch.Ended = time.Now()
	if batch.Len() > 0 {
		p.summarize(w)
		if last := batch.judged[batch.Len()-1].record; last.Checkpoint {
			p.checkpoints.remember(last.Position(), w.summaries())
		}
		p.progress.applied(w.position)
		p.waiters.advance(w.position)
		p.verdicts.announce(batch.judged)
	}
	return batch, err
}

// bind ties the generation that serves to its topic.
func (p *Projection) bind(topicID string) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	w := p.serving.Load().writer
	if err := w.bind(context.Background(), p.options.Log.Topic(), topicID); err != nil {
		return err
	}
	p.summarize(w)
	return nil
}

func (p *Projection) summarize(w *writer) {
	summaries := w.summaries()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.digested, p.topicID, p.digests = w.mark(), w.meta[metaTopicID], summaries
}

func (p *Projection) mark() mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digested
}

// refuse stops the projection, until resume if that ever comes.
func (p *Projection) refuse(err error) {
	p.mu.Lock()
	p.refused, p.failing = err, nil
	r := p.rebuild
	p.mu.Unlock()
	p.waiters.stop(err)
	if r != nil && !unreadable(err) {
		r.cancel(err) // it would wait for what never comes
	}
}

// resume has the projection go on after refuse.
func (p *Projection) resume() {
	p.mu.Lock()
	was := p.refused
	p.refused = nil
	p.mu.Unlock()
	if was != nil {
		p.waiters.resume()
		p.options.Logger.Info("the log has again what this node had applied, applying it", "position", p.Position())
	}
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
