// Package generation opens one file of a read model with everything that works on it: the
// writer, the connections for reads, checkpoints and the cache. It also builds new files from the
// log, converts files of earlier versions, and checks files for damage.
package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/readmodel"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// A Generation is one file of a projection with everything that is open on it. One generation
// serves, and a rebuild replaces it by another. A read holds the generation that it began on,
// which is closed after the last such read.
type Generation struct {
	DB     *sqlite.Database
	Writer *applier.Writer   // used only by the holder of Projection.applying
	files  []sqlite.HeldFile // as they were when opened
	Cache  *entitycache.Cache
	// Journal holds the events that made the rows; nil if none is kept.
	Journal *journal.Journal

	// holds counts, in its lower half, the reads in progress, and one for the projection while
	// the generation serves. Once that count is 0 it stays 0. The upper half counts all reads
	// so far, modulo 1<<32. One atomic operation updates both.
	holds atomic.Uint64
	Free  chan struct{} // closed when nothing holds it
}

const (
	oneRead  = 1<<32 | 1
	holdMask = 1<<32 - 1
)

// Open opens the file of a generation that can serve, and converts it if an earlier version
// made it.
func Open(ctx context.Context, path string, declared *collections.Set, logger *slog.Logger, models ...readmodel.Factory) (*Generation, error) {
	db, err := sqlite.Open(ctx, path, declared, logger)
	if errors.Is(err, schema.ErrOldVersion) {
		if err := Convert(ctx, path, logger); err != nil {
			return nil, err
		}
		db, err = sqlite.Open(ctx, path, declared, logger)
	}
	if err != nil {
		return nil, err
	}
	w, err := applier.NewWriter(ctx, db, models...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	g := New(db, w)
	if g.files, err = sqlite.HoldFiles(path); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// New returns the generation of an open database. It is held once, for the projection.
func New(db *sqlite.Database, w *applier.Writer) *Generation {
	g := &Generation{DB: db, Writer: w, Free: make(chan struct{})}
	g.holds.Store(1)
	return g
}

// Hold keeps the generation open until Release. It returns false if the last hold has already been
// released.
func (g *Generation) Hold() bool {
	for {
		n := g.holds.Load()
		if n&holdMask == 0 {
			return false
		}
		if g.holds.CompareAndSwap(n, n+oneRead) {
			return true
		}
	}
}

// Release ends a hold.
func (g *Generation) Release() {
	if g.holds.Add(^uint64(0))&holdMask == 0 {
		close(g.Free)
	}
}

// Reads is the number of reads that have held the generation so far, modulo 1<<32.
func (g *Generation) Reads() uint32 { return uint32(g.holds.Load() >> 32) }

// Close closes the file. Nothing may hold the generation.
func (g *Generation) Close() error {
	g.Cache.Drop()
	err := errors.Join(g.Writer.Close(), g.DB.Close())
	if g.Journal != nil {
		err = errors.Join(err, g.Journal.Sync(), g.Journal.Close())
	}
	return err
}

// Replaced returns a fault if one of the generation's files is missing, or another file is in
// its place.
func (g *Generation) Replaced() *storagefault.Error {
	for _, f := range g.files {
		now, err := os.Stat(f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%s was deleted while the node had it open", filepath.Base(f.Path))
		case err != nil:
			return &storagefault.Error{Fault: storagefault.IO, Path: g.DB.Path, Err: err}
		case os.SameFile(f.Info, now):
			continue
		default:
			err = fmt.Errorf("%s was replaced by another file while the node had it open", filepath.Base(f.Path))
		}
		return &storagefault.Error{Fault: storagefault.Replaced, Path: g.DB.Path, Err: err}
	}
	return nil
}
