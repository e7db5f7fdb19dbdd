package projections

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/clusterlite/clusterlite/events/collections"
)

// A generation is one file of a projection with all that is open on it. One serves; a
// rebuild puts another in its place. A read holds the one that it began on, which is
// closed after the last of them.
type generation struct {
	db     *database
	writer *writer    // used by the holder of Projection.applying alone
	files  []heldFile // as they were when it was opened
	cache  *cache

	// holds counts, in its lower half, the reads under way, and one for the projection
	// while it serves. Once that is 0 it stays so. Its upper half counts all reads that
	// there were, modulo 1<<32: one atomic operation does both.
	holds atomic.Uint64
	free  chan struct{} // closed when nothing holds it
}

const (
	oneRead  = 1<<32 | 1
	holdMask = 1<<32 - 1
)

func openGeneration(ctx context.Context, path string, declared *collections.Set, logger *slog.Logger) (*generation, error) {
	db, err := openDatabase(ctx, path, declared, logger)
	if errors.Is(err, errOldVersion) {
		if err := convert(ctx, path, logger); err != nil {
			return nil, err
		}
		db, err = openDatabase(ctx, path, declared, logger)
	}
	if err != nil {
		return nil, err
	}
	w, err := newWriter(ctx, db)
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	g := newGeneration(db, w)
	if g.files, err = holdFiles(path); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func newGeneration(db *database, w *writer) *generation {
	g := &generation{db: db, writer: w, free: make(chan struct{})}
	g.holds.Store(1)
	return g
}

// hold keeps the generation open until release. It returns false if it is too late.
func (g *generation) hold() bool {
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

func (g *generation) release() {
	if g.holds.Add(^uint64(0))&holdMask == 0 {
		close(g.free)
	}
}

// reads is how many reads have held the generation so far, modulo 1<<32.
func (g *generation) reads() uint32 { return uint32(g.holds.Load() >> 32) }

func (g *generation) close() error {
	g.cache.drop()
	return errors.Join(g.writer.close(), g.db.close())
}

// serve has a generation serve from now on. The caller sees to it that nothing is applied
// meanwhile.
func (p *Projection) serve(g *generation) {
	g.cache = newCache(p.options.CacheBytes, g.writer.position, &p.cached)
	g.writer.cache = g.cache
	p.serving.Store(g)
}

// hold gives the generation that serves, held for a read.
func (p *Projection) hold() *generation {
	for {
		// It fails only if another took its place just now.
		if g := p.serving.Load(); g.hold() {
			return g
		}
	}
}
