package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
)

// ErrNoConnection means that no connection became free in time. The read did nothing, and can
// be retried.
var ErrNoConnection = errors.New("too many reads are running")

// Four pools of connections read a file, so that slow reads do not delay fast ones. Memory
// limits their sizes, because each connection caches pages.
var (
	// entityReaders is the maximum number of concurrent reads of single entities, and pointReaders that of
	// all other reads of a few rows. Each takes microseconds.
	entityReaders = max(8, 2*runtime.NumCPU())
	pointReaders  = max(8, 2*runtime.NumCPU())
	// ListReaders is the maximum number of concurrent reads of lists.
	ListReaders = max(8, 2*runtime.NumCPU())
)

const (
	// ExportConns is the maximum number of concurrent long reads. Each keeps the WAL from being
	// truncated.
	ExportConns = 4
	// ReadPatience is how long a read waits for a connection.
	ReadPatience = 2 * time.Second
	// KeptStatements is how many recently used statements each connection keeps prepared. The
	// combinations of filters and sorts are unlimited.
	KeptStatements = 64
)

// A Pool holds the connections for one kind of read. A read acquires exactly one connection,
// runs all its statements on it, and releases it. Since no read takes a second connection while
// it holds one, reads can't deadlock.
//
// Safe for concurrent use.
type Pool struct {
	*Places
	Pool *sqlx.DB // opens connections, without a limit of its own
	idle idle[*Conn]
}

// A Conn is one connection. One goroutine uses it at a time. It keeps its most recent
// statements prepared.
type Conn struct {
	*sqlx.Conn
	of *Pool
}

// openReaders returns a pool of at most size connections that read. cacheKiB is the size of each connection's
// page cache.
func openReaders(ctx context.Context, path string, size int, cacheKiB int) (*Pool, error) {
	pool, err := Connect(ctx, path, size, url.Values{
		"mode":             {"rw"}, // does not recreate a deleted file
		"_query_only":      {"true"},
		"_cache_size":      {strconv.Itoa(-cacheKiB)},
		"_stmt_cache_size": {strconv.Itoa(KeptStatements)},
	})
	if err != nil {
		return nil, err
	}
	return NewPool(pool, size), nil
}

// NewPool returns a pool that uses at most size connections of an open database.
func NewPool(pool *sqlx.DB, size int) *Pool {
	// The places limit the connections. A limit here would be a second one to wait for.
	pool.SetMaxOpenConns(0)
	return &Pool{Places: newPlaces(size), Pool: pool}
}

// Acquire returns a connection. It waits for a free one until the deadline of ctx, and at most
// r.Patience, and then returns [ErrNoConnection]. If ctx is cancelled, it returns ctx.Err().
// The caller releases the connection, and acquires no other before that.
func (r *Pool) Acquire(ctx context.Context) (*Conn, error) {
	if err := r.take(ctx); err != nil {
		return nil, err
	}
	return r.connection(ctx)
}

// TryAcquire returns a connection without waiting. If none is free, it returns nil.
func (r *Pool) TryAcquire(ctx context.Context) (*Conn, error) {
	if !r.tryTake() {
		return nil, nil
	}
	return r.connection(ctx)
}

// connection returns a connection to a caller that has a place.
func (r *Pool) connection(ctx context.Context) (*Conn, error) {
	c, ok, err := r.idle.take()
	if err == nil && !ok {
		c = &Conn{of: r}
		c.Conn, err = r.Pool.Connx(ctx)
	}
	if err != nil {
		r.release()
		return nil, fmt.Errorf("open a connection for reads: %w", err)
	}
	return c, nil
}

// Idle returns the number of open connections that no read uses.
func (r *Pool) Idle() int { return r.idle.len() }

// Release returns the connection to the pool.
func (c *Conn) Release() {
	defer c.of.release()
	c.of.idle.put(c)
}

// Discard closes a connection that can't be used again, and frees its place.
func (c *Conn) Discard() {
	defer c.of.release()
	// The pool closes a connection that is reported as bad.
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close()
}

// Close closes the idle connections. Connections in use are closed when they are released.
func (r *Pool) Close() error { return errors.Join(r.idle.Close(), r.Pool.Close()) }
