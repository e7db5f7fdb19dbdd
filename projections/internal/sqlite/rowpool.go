package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite/direct"
)

// A RowPool holds the connections for reads of single rows by a key. Safe for concurrent use.
type RowPool struct {
	*Places
	path     string
	cacheKiB int
	idle     idle[*direct.Conn]
}

func newRowPool(path string, size, cacheKiB int) *RowPool {
	return &RowPool{Places: newPlaces(size), path: path, cacheKiB: cacheKiB}
}

// lockPatience is how long a statement waits for a lock, unless a connection has another value.
const lockPatience = 10 * time.Second

// Acquire returns a connection, which the caller releases before it acquires any other. Errors are those of
// [Pool.Acquire].
func (r *RowPool) Acquire(ctx context.Context) (*direct.Conn, error) {
	if err := r.take(ctx); err != nil {
		return nil, err
	}
	c, ok, err := r.idle.take()
	if err == nil && !ok {
		c, err = direct.Open(r.path, r.cacheKiB, lockPatience)
	}
	if err != nil {
		r.release()
		return nil, fmt.Errorf("open a connection for reads: %w", err)
	}
	return c, nil
}

// Release returns a connection to the pool.
func (r *RowPool) Release(c *direct.Conn) {
	defer r.release()
	r.idle.put(c)
}

// Close closes the idle connections. Connections in use are closed when they are released.
func (r *RowPool) Close() error { return r.idle.Close() }
