package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Sizes are how many bytes the file that a projection serves from takes on disk.
type Sizes struct {
	// File is the database file, what is free in it included.
	File int64
	// WAL is the write-ahead log beside it. It grows while a long read keeps it from
	// being cut.
	WAL int64
	// Free is what of File holds nothing and is used before the file grows.
	Free int64
}

// Sizes tells how many bytes the file that is served from takes on disk.
func (p *Projection) Sizes(ctx context.Context) (s Sizes, err error) {
	g := p.hold()
	defer g.release()
	if s.File, err = fileSize(g.db.path); err != nil {
		return s, err
	}
	if s.WAL, err = fileSize(g.db.path + "-wal"); err != nil {
		return s, err
	}
	r, err := g.db.points.acquire(ctx)
	if err != nil {
		return s, err
	}
	defer r.release()
	if err := r.GetContext(ctx, &s.Free, `SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size`); err != nil {
		return s, p.observe(g, fmt.Errorf("ask for the free pages of %s: %w", g.db.path, err))
	}
	return s, nil
}

// fileSize is zero for a file that is not there.
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
