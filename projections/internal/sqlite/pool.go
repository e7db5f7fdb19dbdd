package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/semaphore"
)

// ErrNoConnection means that no connection became free in time. The read did nothing, and can
// be retried.
var ErrNoConnection = errors.New("too many reads are running")

// Three pools of connections read a file, so that slow reads do not delay fast ones. Memory
// limits their sizes, because each connection caches pages.
var (
	// pointReaders is the maximum number of concurrent reads of single rows. Each takes
	// microseconds.
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

// A Pool holds the connections for one kind of read. A read acquires exactly one connection,
// runs all its statements on it, and releases it. Since no read takes a second connection while
// it holds one, reads can't deadlock.
//
// Safe for concurrent use.
type Pool struct {
	Pool     *sqlx.DB // opens connections, without a limit of its own
	places   *semaphore.Weighted
	Patience time.Duration
	// Starved is the time, in Unix nanoseconds, of the first read that got no connection since a
	// connection was last acquired. It is 0 if there was none.
	Starved atomic.Int64

	mu     sync.Mutex
	Idle   []*Conn // last in, first out, because recent connections have warm caches
	closed bool
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
	// The semaphore limits the connections. A limit here would be a second one to wait for.
	pool.SetMaxOpenConns(0)
	return &Pool{Pool: pool, places: semaphore.NewWeighted(int64(size)), Patience: ReadPatience}
}

// Acquire returns a connection. It waits for a free one until the deadline of ctx, and at most
// r.Patience, and then returns [ErrNoConnection]. If ctx is cancelled, it returns ctx.Err().
// The caller releases the connection, and acquires no other before that.
func (r *Pool) Acquire(ctx context.Context) (*Conn, error) {
	if !r.places.TryAcquire(1) {
		if err := r.wait(ctx); err != nil {
			return nil, err
		}
	}
	return r.take(ctx)
}

// TryAcquire returns a connection without waiting. If none is free, it returns nil.
func (r *Pool) TryAcquire(ctx context.Context) (*Conn, error) {
	if !r.places.TryAcquire(1) {
		return nil, nil
	}
	return r.take(ctx)
}

// wait waits for a slot.
func (r *Pool) wait(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	if r.places.Acquire(patient, 1) == nil {
		return nil
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	r.Starved.CompareAndSwap(0, time.Now().UnixNano())
	return fmt.Errorf("%w: no connection was free within %s: %w", ErrNoConnection, r.Patience, patient.Err())
}

// take returns a connection to a caller that has a slot.
func (r *Pool) take(ctx context.Context) (*Conn, error) {
	if r.Starved.Load() != 0 {
		r.Starved.Store(0)
	}
	r.mu.Lock()
	if n := len(r.Idle); n > 0 {
		taken := r.Idle[n-1]
		r.Idle = r.Idle[:n-1]
		r.mu.Unlock()
		return taken, nil
	}
	r.mu.Unlock()
	conn, err := r.Pool.Connx(ctx)
	if err != nil {
		r.places.Release(1)
		return nil, fmt.Errorf("open a connection for reads: %w", err)
	}
	return &Conn{Conn: conn, of: r}, nil
}

// Release returns the connection to the pool.
func (c *Conn) Release() {
	r := c.of
	defer r.places.Release(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.Idle = append(r.Idle, c)
		return
	}
	_ = c.Close() // nothing was written
}

// Discard closes a connection that can't be used again, and frees its slot.
func (c *Conn) Discard() {
	defer c.of.places.Release(1)
	// The pool closes a connection that is reported as bad.
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close()
}

// Stuck returns how long no read has been able to acquire a connection, or zero if reads get
// one or one is free. It resets itself once a connection is free.
func (r *Pool) Stuck() time.Duration {
	since := r.Starved.Load()
	if since == 0 {
		return 0
	}
	if r.places.TryAcquire(1) {
		r.places.Release(1)
		r.Starved.Store(0)
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// Close closes the idle connections. Connections in use are closed when they are released.
func (r *Pool) Close() error {
	r.mu.Lock()
	idle := r.Idle
	r.Idle, r.closed = nil, true
	r.mu.Unlock()
	var errs []error
	for _, c := range idle {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, r.Pool.Close())...)
}
