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
const DefaultMaxBatch = builderBatch

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
	// CacheBytes is about how much memory the cache of entities takes at most; zero means
	// that there is none.
	CacheBytes int64
	// Applied, if not nil, is told of each batch once it is committed and those who wait
	// for it are woken. The next batch waits until it returns.
	Applied func(Batch)
	// NoSelfRepair leaves it to a person to rebuild a projection whose file is damaged. It
	// serves nothing until then.
	NoSelfRepair bool
	// RepairFrom, if not nil, is what a repair starts from, as in [RebuildOptions.From]. If
	// it gives nothing the repair starts from the beginning of the log.
	RepairFrom func(ctx context.Context, path string) error
	// ScrubInterval is the time from the end of a scrub to the start of the next one; zero
	// means that there is none. See [ScrubStatus].
	ScrubInterval time.Duration
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
	life        lifecycle
	storage     storageStats
	voids       atomic.Int64 // as last counted
	cached      cacheCounters
	// hadCaughtUp tells that the file has been as far as the log was, now or in an earlier
	// run.
	hadCaughtUp atomic.Bool

	mu       sync.Mutex
	digests  map[string]Summary
	digested mark // what digests belong to
	topicID  string
	rebuild  *rebuild       // the last
	rebuilds sync.WaitGroup // of the one that runs or puts away what it replaced, of a repair, and of filters of claims
	nagging  nagging
	// checkpointing bounds how often failures of checkpoints are logged. guardFiles alone
	// uses it.
	checkpointing nagging
	closing       chan struct{}
	closeOnce     sync.Once
	closeErr      error
}

// Open opens the file, or makes it, and brings its tables to what is declared. It
// returns a [RefusedError] for a file of another version, and a [StorageError] for one that
// can't be opened or is no database: see [SetAside]. It needs no broker.
func Open(ctx context.Context, options Options) (*Projection, error) {
	p := &Projection{
		options: options.withDefaults(), folder: folder{dir: options.Dir},
		closing: make(chan struct{}),
	}
	path, err := p.folder.open()
	if err != nil {
		return nil, err
	}
	g, err := openGeneration(ctx, path, options.Collections, p.options.Logger)
	if err != nil {
		return nil, storageError(path, err)
	}
	p.serve(g)
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
// ctx.Err(), or the reason why the projection has stopped: a [RefusedError], or a
// [StorageError] while its file is damaged.
func (p *Projection) WaitFor(ctx context.Context, position events.Position) error {
	if p.progress.position() >= position {
		return nil
	}
	return p.waiters.wait(ctx, position)
}

// Err tells why the projection has stopped, a [RefusedError], or nil.
func (p *Projection) Err() error {
	if state, cause := p.life.now(); state == StateRefused {
		return cause
	}
	return nil
}

// Stuck tells why the projection can't apply what is appended from now on, or can't be
// read: a [RefusedError], a [StorageError], an
// [ApplyError] or a [ReadPathError]. It is nil while nothing is
// wrong with the node itself; that it is behind, or the broker away, is no reason.
func (p *Projection) Stuck() error {
	if err := p.life.stuck(); err != nil {
		return err
	}
	return p.starved()
}

// State tells where the projection is in its life.
func (p *Projection) State() State {
	state, _ := p.life.now()
	return state
}

// apply takes a batch into the generation that serves, makes the state after it visible,
// then wakes those who wait for it. Once damaged is closed it applies nothing: the records
// were subscribed to for another file.
func (p *Projection) apply(records []events.Record, damaged <-chan struct{}) error {
	batch, err := p.applyServing(records, damaged)
	if batch.Len() > 0 && p.options.Applied != nil {
		p.options.Applied(batch)
	}
	return err
}

func (p *Projection) applyServing(records []events.Record, damaged <-chan struct{}) (Batch, error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	if over(damaged) {
		return Batch{}, errDamaged
	}
	g := p.serving.Load()
	w := g.writer
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
	return batch, p.observe(g, err)
}

// bind ties the generation that serves to its topic.
func (p *Projection) bind(topicID string) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	g := p.serving.Load()
	if err := g.writer.bind(context.Background(), p.options.Log.Topic(), topicID); err != nil {
		return p.observe(g, err)
	}
	p.summarize(g.writer)
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

// published gives the digests of the collections as they were after the last batch.
func (p *Projection) published() (at events.Position, summaries map[string]Summary) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digested.position, p.digests
}

// refuse stops the projection, until resume if that ever comes. It returns false if the file
// is damaged, which comes first.
func (p *Projection) refuse(err error) bool {
	if !p.life.refuse(err) {
		return false
	}
	p.mu.Lock()
	r := p.rebuild
	p.mu.Unlock()
	p.waiters.stop(err)
	if r != nil && !unreadable(err) {
		r.cancel(err) // it would wait for what never comes
	}
	return true
}

// resume has the projection go on once the file fits the log.
func (p *Projection) resume() {
	switch p.life.fit() {
	case StateRefused:
		p.waiters.resume()
		p.options.Logger.Info("log recovered; resuming", "position", p.Position())
	case StateInDoubt:
		p.options.Logger.Info("broker reachable again; resuming", "position", p.Position(), "failed_for", p.nagging.end())
	}
}

// fail notes a passing failure, or with nil its end. It warns of one at its beginning, when
// it becomes another, and from time to time as long as it lasts.
func (p *Projection) fail(err error) {
	if err == nil {
		if p.life.recover() {
			p.options.Logger.Info("resumed applying the log", "position", p.Position(), "failed_for", p.nagging.end())
		}
		return
	}
	p.life.fail(err)
	if lasts, due := p.nagging.due(err, time.Now()); due {
		p.options.Logger.Warn("can't apply the log; retrying", "error", err, "position", p.Position(), "for", lasts)
	}
}
