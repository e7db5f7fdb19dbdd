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
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/lifecycle"
	"github.com/clusterlite/clusterlite/projections/readmodel"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// DefaultMaxBatch is the most records in one transaction. More gain little: the cost
// of a commit is by then a small part.
const DefaultMaxBatch = generation.DefaultMaxBatch

// Options say what to project, and where to.
type Options struct {
	// Dir is the node's data folder; the caller holds its lock. The file in it is
	// [datafolder.FileName], a link to the generation that serves.
	Dir string
	// Log is where the records come from.
	Log *eventlog.Log
	// Collections are the declared ones. Others that the log names are kept too, just
	// without columns.
	Collections *collections.Set
	// ReadModels make the read models beside that of the entities. See [readmodel.Model].
	ReadModels []readmodel.Factory
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
// soon as it is open; [Run] applies the log. Safe for concurrent use.
type Projection struct {
	options  Options
	folder   datafolder.Folder
	serving  atomic.Pointer[generation.Generation]
	applying sync.Mutex // held while a batch is applied, and while generations are swapped
	waiters  lifecycle.Waiters
	verdicts verdicts
	progress lifecycle.Progress
	// checkpoints are the last that the log had.
	checkpoints checkpoints
	life        lifecycle.Machine
	storage     storageStats
	voids       atomic.Int64 // as last counted
	cached      entitycache.Counters

	mu       sync.Mutex
	digests  map[string]digest.Summary
	digested continuity.Mark // what digests belong to
	topicID  string
	rebuild  *rebuild       // the last
	rebuilds sync.WaitGroup // of the one that runs or puts away what it replaced, of a repair, and of filters of claims
	nagging  lifecycle.FailureLog
	// checkpointing bounds how often failures of checkpoints are logged. guardFiles alone
	// uses it.
	checkpointing lifecycle.FailureLog
	closing       chan struct{}
	closeOnce     sync.Once
	closeErr      error
}

// Open opens the file, or makes it, and brings its tables to what is declared. It
// returns a [refusal.Error] for a file of another version, and a [storagefault.Error] for one that
// can't be opened or is no database: see [datafolder.SetAside]. It needs no broker.
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
	return p.serving.Load().Close()
}

// Position is how many records have been applied.
func (p *Projection) Position() events.Position { return p.progress.Position() }

// WaitFor returns when all records before position are applied. Else it returns
// ctx.Err(), or the reason why the projection has stopped: a [refusal.Error], or a
// [storagefault.Error] while its file is damaged.
func (p *Projection) WaitFor(ctx context.Context, position events.Position) error {
	if p.progress.Position() >= position {
		return nil
	}
	return p.waiters.Wait(ctx, position)
}

// Err tells why the projection has stopped, a [refusal.Error], or nil.
func (p *Projection) Err() error {
	if state, cause := p.life.Now(); state.Refused() {
		return cause
	}
	return nil
}

// Stuck tells why the projection can't apply what is appended from now on, or can't be
// read: a [refusal.Error], a [storagefault.Error], an
// [ApplyError] or a [ReadPathError]. It is nil while nothing is
// wrong with the node itself; that it is behind, or the broker away, is no reason.
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

// State tells where the projection is in its life.
func (p *Projection) State() State {
	state, _ := p.life.Now()
	return stateWords[state]
}

// refuse stops the projection, until resume if that ever comes. It returns false if the file
// is damaged, which comes first.
func (p *Projection) refuse(err error) bool {
	if !p.life.Refuse(err) {
		return false
	}
	p.mu.Lock()
	r := p.rebuild
	p.mu.Unlock()
	p.waiters.Stop(err)
	if r != nil && !unreadable(err) {
		r.cancel(err) // it would wait for what never comes
	}
	return true
}

// resume has the projection go on once the file fits the log.
func (p *Projection) resume() {
	switch p.life.Fit() {
	case lifecycle.Suspended:
		p.waiters.Resume()
		p.options.Logger.Info("log recovered; resuming", "position", p.Position())
	case lifecycle.InDoubt:
		p.options.Logger.Info("broker reachable again; resuming", "position", p.Position(), "failed_for", p.nagging.End())
	}
}

// fail notes a passing failure, or with nil its end. It warns of one at its beginning, when
// it becomes another, and from time to time as long as it lasts.
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
