package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// ErrBusy is returned if the maximum number of long reads is running.
var ErrBusy = errors.New("too many exports are running")

// BeginRead opens a read transaction for a short read. It waits for a free connection. If none
// becomes free in time, it returns [ErrOverloaded], and ctx.Err() if ctx ends before that.
func (p *Projection) BeginRead(ctx context.Context) (*reads.Tx, error) {
	g := p.hold()
	r, err := g.DB.Lists.Acquire(ctx)
	if err != nil {
		err = p.observe(g, fmt.Errorf("begin a read transaction: %w", err))
		g.Release()
		return nil, err
	}
	return reads.Begin(r, g.DB.Path, g.Release, p.observer(g))
}

// BeginLongRead opens a read transaction for a read that may take long. It does not wait: it
// returns [ErrBusy] if too many are open.
func (p *Projection) BeginLongRead(ctx context.Context) (*reads.Tx, error) {
	g := p.hold()
	r, err := g.DB.Exports.TryAcquire(ctx)
	if err == nil && r == nil {
		err = ErrBusy
	}
	if err != nil {
		err = p.observe(g, err)
		g.Release()
		return nil, err
	}
	return reads.Begin(r, g.DB.Path, g.Release, p.observer(g))
}

// Copy writes the read models at one position into an ordinary SQLite file that no process has
// open, while the projection continues. It replaces an existing file. The file is not synced:
// if it has to survive a power loss, the caller syncs it. Copy returns [ErrBusy] if too many
// long reads are running. If there is an error, it leaves no file.
func (p *Projection) Copy(ctx context.Context, path string) (copied offline.Built, err error) {
	// Use one transaction, because a backup that spans several starts over with each batch.
	s, err := p.BeginLongRead(ctx)
	if err != nil {
		return offline.Built{}, err
	}
	if err := errors.Join(s.CopyTo(ctx, path), s.Close()); err != nil {
		return offline.Built{}, err
	}
	if copied, err = offline.Inspect(ctx, path); err != nil {
		return offline.Built{}, errors.Join(err, sqlite.RemoveDatabase(path))
	}
	return copied, nil
}

// serve makes a generation the one that serves. The caller ensures that nothing is applied at
// the same time.
func (p *Projection) serve(g *generation.Generation) {
	g.Cache = entitycache.New(p.options.CacheBytes, g.Writer.Position, &p.cached)
	g.Writer.Cache = g.Cache
	p.serving.Store(g)
}

// hold returns the generation that serves, held for a read.
func (p *Projection) hold() *generation.Generation {
	for {
		// Hold fails only if another generation has just taken its place.
		if g := p.serving.Load(); g.Hold() {
			return g
		}
	}
}

// starved returns a [ReadPathError] if no read of some kind has obtained a connection for a
// long time.
func (p *Projection) starved() error {
	db := p.serving.Load().DB
	for _, kind := range []struct {
		reads string
		since time.Duration
	}{
		{"read of a single entity", db.Entities.Stuck()},
		{"read of a few rows", db.Points.Stuck()},
		{"list", db.Lists.Stuck()},
	} {
		if kind.since > stuckAfter {
			return &ReadPathError{fmt.Errorf("no %s has obtained a database connection for %.0f s", kind.reads, kind.since.Seconds())}
		}
	}
	return nil
}

// Sizes are the sizes on disk, in bytes, of the file that serves.
type Sizes struct {
	// File is the size of the database file, including free pages.
	File int64
	// WAL is the size of the write-ahead log. It grows while a long read keeps it from being
	// truncated.
	WAL int64
	// Free is the size of the unused pages of File. They are reused before the file grows.
	Free int64
}

// Sizes returns the sizes on disk of the file that serves.
func (p *Projection) Sizes(ctx context.Context) (s Sizes, err error) {
	g := p.hold()
	defer g.Release()
	if s.File, err = fileSize(g.DB.Path); err != nil {
		return s, err
	}
	if s.WAL, err = fileSize(g.DB.Path + "-wal"); err != nil {
		return s, err
	}
	r, err := g.DB.Points.Acquire(ctx)
	if err != nil {
		return s, err
	}
	defer r.Release()
	if err := r.GetContext(ctx, &s.Free, `SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size`); err != nil {
		return s, p.observe(g, fmt.Errorf("ask for the free pages of %s: %w", g.DB.Path, err))
	}
	return s, nil
}

// fileSize returns zero for a file that does not exist.
func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ErrNoJournal means that the projection keeps no journal: see [Options.Journal].
var ErrNoJournal = errors.New("this node keeps no journal of events")

// Journal returns the journal of the generation that serves. Everything up to [Projection.Position]
// is in it. The caller must call release, and soon, because a rebuild waits for it before it removes
// the files that it has replaced. A caller that follows the journal takes it again for each read.
func (p *Projection) Journal() (j *journal.Journal, release func(), err error) {
	g := p.hold()
	if g.Journal == nil {
		g.Release()
		return nil, nil, ErrNoJournal
	}
	return g.Journal, g.Release, nil
}
