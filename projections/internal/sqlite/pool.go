package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
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
	// entityReaders is the maximum number of concurrent reads of single entities, each of which takes
	// microseconds.
	entityReaders = max(8, 2*runtime.NumCPU())
	// pointReaders is the maximum number of concurrent reads of a few other rows, which take microseconds, too.
	pointReaders = max(8, 2*runtime.NumCPU())
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

// A Pool is a pool of connections of database/sql. Safe for concurrent use.
type Pool struct {
	*Limited[*Conn]
	Pool *sqlx.DB // opens connections, without a limit of its own
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
	// Limited limits the connections. A limit here would be a second one to wait for.
	pool.SetMaxOpenConns(0)
	p := &Pool{Pool: pool}
	p.Limited = newLimited(size, func(ctx context.Context) (*Conn, error) {
		conn, err := pool.Connx(ctx)
		return &Conn{Conn: conn, of: p}, err
	})
	return p
}

// Release returns the connection to the pool.
func (c *Conn) Release() { c.of.Release(c) }

// Discard closes a connection that can't be used again, and frees its slot.
func (c *Conn) Discard() {
	defer c.of.slots.Release(1)
	// The pool closes a connection that is reported as bad.
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close()
}

// Close closes the idle connections. Connections in use are closed when they are released.
func (r *Pool) Close() error { return errors.Join(r.Limited.Close(), r.Pool.Close()) }
