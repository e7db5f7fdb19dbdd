package projections

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/lifecycle"
	"github.com/clusterlite/clusterlite/projections/readmodel"
	"github.com/clusterlite/clusterlite/projections/storagefault"
	"github.com/clusterlite/clusterlite/projections/verdicts"
)

// DefaultMaxBatch is the default maximum number of records in one transaction. Larger batches
// gain little, because the commit is then a small part of the cost.
const DefaultMaxBatch = generation.DefaultMaxBatch

// Options configure a projection.
type Options struct {
	// Dir is the node's data folder. The caller holds its lock. The file in it is
	// [datafolder.FileName], a link to the generation that serves.
	Dir string
	// Log is the log to apply.
	Log *eventlog.Log
	// Collections are the declared collections. The projection also keeps the entities of other
	// collections in the log, but without columns to filter or sort by.
	Collections *collections.Set
	// ReadModels make the read models that the projection feeds besides the entities. See
	// [readmodel.Model].
	ReadModels []readmodel.Factory
	// Journal makes the projection keep the admitted events in a journal beside the file: see
	// [Projection.Journal]. Without it, a journal that an earlier run has kept is removed.
	Journal bool
	// JournalFillAfter is how long a journal that is incomplete or damaged stays so before the
	// projection rebuilds itself from the log. See also NoSelfRepair.
	JournalFillAfter time.Duration
	// Logger receives what an operator has to know. Nil discards it.
	Logger *slog.Logger
	// MaxBatch is the maximum number of records in one transaction. Zero means
	// [DefaultMaxBatch].
	MaxBatch int
	// CacheBytes is the approximate maximum size of the cache in memory. Zero means no cache.
	CacheBytes int64
	// Applied, if not nil, is called after each batch, once the batch is committed and the
	// callers that wait for it are woken. The next batch waits until it returns.
	Applied func(Batch)
	// NoSelfRepair disables the automatic rebuild of a damaged file. The projection then serves
	// nothing until an operator rebuilds it.
	NoSelfRepair bool
	// RepairFrom, if not nil, provides the file that a repair starts from, as in
	// [RebuildOptions.From]. If it fails, the repair reads the log from its beginning.
	RepairFrom func(ctx context.Context, path string) error
	// ScrubInterval is the time between the end of a scrub and the start of the next. Zero
	// disables scrubs. See [ScrubStatus].
	ScrubInterval time.Duration
}

// A Projection is a set of read models in one file, and the worker that keeps them up to date.
// It serves reads as soon as it is open; [Projection.Run] applies the log. Safe for concurrent
// use.
type Projection struct {
	options  Options
	folder   datafolder.Folder
	serving  atomic.Pointer[generation.Generation]
	applying sync.Mutex // held while a batch is applied and while generations are swapped
	waiters  lifecycle.Waiters
	expected verdicts.Expectations
	progress lifecycle.Progress
	// checkpoints are the latest checkpoints in the log.
	checkpoints digest.Checkpoints
	life        lifecycle.Machine
	storage     storageStats
	voids       atomic.Int64 // as last counted
	cached      entitycache.Counters

	mu       sync.Mutex
	digests  map[string]digest.Summary
	digested continuity.Mark // the mark that digests belong to
	topicID  string
	rebuild  *rebuild       // the rebuild that is running, or the last one
	rebuilds sync.WaitGroup // running goroutines: rebuilds and their cleanup, repairs, and fills of the claim filter
	nagging  lifecycle.FailureLog
	// checkpointing limits how often failed checkpoints are logged. Only guardFiles uses it.
	checkpointing lifecycle.FailureLog
	closing       chan struct{}
	closeOnce     sync.Once
	closeErr      error
}

// Open opens the file, or creates it, and brings its tables in line with the declared
// collections. It returns a [refusal.Error] if the file has another version, and a
// [storagefault.Error] if the file can't be opened or is not a database: see
// [datafolder.SetAside]. It needs no broker.
func Open(ctx context.Context, options Options) (*Projection, error) {
	p := &Projection{
		options: options.withDefaults(), folder: datafolder.Folder{Dir: options.Dir},
		closing: make(chan struct{}),
	}
	path, err := p.folder.Open()
	if err != nil {
		return nil, err
	}
	g, err := generation.Open(ctx, path, options.Collections, p.options.Logger, options.ReadModels...)
	if err != nil {
		return nil, storagefault.Classify(path, err)
	}
	if err := g.KeepJournal(options.Journal, p.options.Logger); err != nil {
		return nil, errors.Join(storagefault.Classify(path, err), g.Close())
	}
	p.serve(g)
	if g.Writer.Meta[applier.MetaCaughtUp] != "" {
		p.life.RecordCaughtUp()
	}
	p.progress.Restore(g.Writer.Position)
	p.summarize(g.Writer)
	p.waiters.Advance(g.Writer.Position)
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

func (p *Projection) closed() bool { return isClosed(p.closing) }

// Close cancels a rebuild and closes the file. Run must have returned before. Further calls
// return the result of the first.
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
	return p.serving.Load().Close()
}

// Position is the number of records applied so far.
func (p *Projection) Position() events.Position { return p.progress.Position() }

// WaitFor returns nil once all records before position are applied. Otherwise it returns
// ctx.Err(), or the reason why the projection has stopped: a [refusal.Error], or a
// [storagefault.Error] while the file is damaged.
func (p *Projection) WaitFor(ctx context.Context, position events.Position) error {
	if p.progress.Position() >= position {
		return nil
	}
	return p.waiters.Wait(ctx, position)
}

// Err returns the [refusal.Error] for which the projection stopped, or nil.
func (p *Projection) Err() error {
	if state, cause := p.life.Now(); state.Refused() {
		return cause
	}
	return nil
}

// Stuck returns the reason why the projection can't apply further records, or can't be read: a
// [refusal.Error], a [storagefault.Error], an [ApplyError] or a [ReadPathError]. It is nil
// while the node itself works. A node that is behind, or whose broker is unreachable, is not
// stuck.
func (p *Projection) Stuck() error {
	switch state, cause, readFault := p.life.Health(); {
	case state == lifecycle.Failing:
		return &ApplyError{cause}
	case state == lifecycle.Damaged || state.Refused():
		return cause
	case readFault != nil:
		return readFault
	}
	return p.starved()
}

// State returns the state of the projection.
func (p *Projection) State() State {
	state, _ := p.life.Now()
	return stateWords[state]
}

// refuse stops the projection until resume is called, if it ever is. It returns false if the file
// is damaged, because damage takes precedence.
func (p *Projection) refuse(err error) bool {
	if !p.life.Refuse(err) {
		return false
	}
	p.mu.Lock()
	r := p.rebuild
	p.mu.Unlock()
	p.waiters.Stop(err)
	if r != nil && !unreadable(err) {
		r.cancel(err) // otherwise the rebuild would wait forever
	}
	return true
}

// resume returns the projection to service after a check that the file belongs to the log.
func (p *Projection) resume() {
	switch p.life.ConfirmLog() {
	case lifecycle.Suspended:
		p.waiters.Resume()
		p.options.Logger.Info("log recovered; resuming", "position", p.Position())
	case lifecycle.InDoubt:
		p.options.Logger.Info("broker reachable again; resuming", "position", p.Position(), "failed_for", p.nagging.End())
	}
}

// fail records a transient failure, or with nil the end of one. It logs a warning when failures
// begin, when they change, and at intervals while they last.
func (p *Projection) fail(err error) {
	if err == nil {
		if p.life.Succeed() {
			p.options.Logger.Info("resumed applying the log", "position", p.Position(), "failed_for", p.nagging.End())
		}
		return
	}
	p.life.Fail(err)
	if lasts, due := p.nagging.Due(err, time.Now()); due {
		p.options.Logger.Warn("can't apply the log; retrying", "error", err, "position", p.Position(), "for", lasts)
	}
}
