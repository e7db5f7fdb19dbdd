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

// ErrNoConnection means that no connection became free in time. The read did nothing, and can be
// tried again.
var ErrNoConnection = errors.New("too many reads are running")

// Three sets of connections read a file, so that slow reads never keep fast ones waiting.
// Memory is what bounds them: each connection caches pages.
var (
	// pointReaders is how many reads of one row can run at once. Each takes microseconds.
	pointReaders = max(8, 2*runtime.NumCPU())
	// ListReaders is how many lists can be read at once.
	ListReaders = max(8, 2*runtime.NumCPU())
)

const (
	// ExportConns is how many long reads can run at once. Each keeps the WAL from being
	// truncated while it runs.
	ExportConns = 4
	// ReadPatience is how long a read waits for a connection.
	ReadPatience = 2 * time.Second
	// KeptStatements is how many statements each connection keeps prepared, the most
	// recently used ones: filters and sorts can be combined without end.
	KeptStatements = 64
)

// Pool are the connections for one kind of read. A read acquires exactly one, runs all
// its statements on it, and releases it. Because no read ever takes a second connection
// while it holds one, reads can't wait for each other in a circle.
//
// Safe for concurrent use.
type Pool struct {
	Pool     *sqlx.DB // opens connections; its own limit is off
	places   *semaphore.Weighted
	Patience time.Duration
	// starved is when a read first waited in vain, in Unix nanoseconds, since a connection
	// was last acquired; else 0.
	Starved atomic.Int64

	mu     sync.Mutex
	Idle   []*Conn // the last released is acquired next: its caches are warm
	closed bool
}

// A Conn is one connection. One goroutine uses it at a time. It keeps the statements
// that it ran last prepared.
type Conn struct {
	*sqlx.Conn
	of *Pool
}

// openReaders opens connections that read, at most size at once. cachePages is the size
// of the page cache of each in KiB.
func openReaders(ctx context.Context, path string, size int, cacheKiB int) (*Pool, error) {
	pool, err := Connect(ctx, path, size, url.Values{
		"mode":             {"rw"}, // a file that was deleted is not made again, empty
		"_query_only":      {"true"},
		"_cache_size":      {strconv.Itoa(-cacheKiB)},
		"_stmt_cache_size": {strconv.Itoa(KeptStatements)},
	})
	if err != nil {
		return nil, err
	}
	return NewPool(pool, size), nil
}

func NewPool(pool *sqlx.DB, size int) *Pool {
	// The semaphore bounds the connections. A limit here would be a second one to wait for.
	pool.SetMaxOpenConns(0)
	return &Pool{Pool: pool, places: semaphore.NewWeighted(int64(size)), Patience: ReadPatience}
}

// Acquire gives a connection. It waits for a free one until the deadline of ctx and for
// at most r.patience, and then returns [ErrNoConnection]; if ctx is cancelled, it returns
// ctx.Err(). The caller releases the connection, and acquires no other before it has.
func (r *Pool) Acquire(ctx context.Context) (*Conn, error) {
	if !r.places.TryAcquire(1) {
		if err := r.wait(ctx); err != nil {
			return nil, err
		}
	}
	return r.take(ctx)
}

// TryAcquire gives a connection without waiting for one: if none is free, it returns nil.
func (r *Pool) TryAcquire(ctx context.Context) (*Conn, error) {
	if !r.places.TryAcquire(1) {
		return nil, nil
	}
	return r.take(ctx)
}

// wait waits for a place.
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

// take gives a connection to a caller that has a place.
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

// Release gives the connection back.
func (c *Conn) Release() {
	r := c.of
	defer r.places.Release(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.Idle = append(r.Idle, c)
		return
	}
	_ = c.Close() // it was only read
}

// Discard gives back a connection that can't be used again.
func (c *Conn) Discard() {
	defer c.of.places.Release(1)
	// The pool closes a connection that is said to be bad.
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close()
}

// Stuck tells for how long no connection could be acquired by any read; zero if one is
// free or reads get one. It recovers by itself: a free connection ends it.
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

// Close closes the idle connections. Those in use are closed when they are released.
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
