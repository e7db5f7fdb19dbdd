package projections

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

// errNoConnection means that no connection became free in time. The read did nothing, and can be
// tried again.
var errNoConnection = errors.New("too many reads are running")

// Three sets of connections read a file, so that slow reads never keep fast ones waiting.
// Memory is what bounds them: each connection caches pages.
var (
	// pointReaders is how many reads of one row can run at once. Each takes microseconds.
	pointReaders = max(8, 2*runtime.NumCPU())
	// listReaders is how many lists can be read at once.
	listReaders = max(8, 2*runtime.NumCPU())
)

const (
	// exports is how many long reads can run at once. Each keeps the WAL from being
	// truncated while it runs.
	exports = 4
	// readPatience is how long a read waits for a connection.
	readPatience = 2 * time.Second
	// keptStatements is how many statements each connection keeps prepared, the most
	// recently used ones: filters and sorts can be combined without end.
	keptStatements = 64
)

// readers are the connections for one kind of read. A read acquires exactly one, runs all
// its statements on it, and releases it. Because no read ever takes a second connection
// while it holds one, reads can't wait for each other in a circle.
//
// Safe for concurrent use.
type readers struct {
	pool     *sqlx.DB // opens connections; its own limit is off
	places   *semaphore.Weighted
	patience time.Duration
	// starved is when a read first waited in vain, in Unix nanoseconds, since a connection
	// was last acquired; else 0.
	starved atomic.Int64

	mu     sync.Mutex
	idle   []*reader // the last released is acquired next: its caches are warm
	closed bool
}

// A reader is one connection. One goroutine uses it at a time. It keeps the statements
// that it ran last prepared.
type reader struct {
	*sqlx.Conn
	of *readers
}

// openReaders opens connections that read, at most size at once. cachePages is the size
// of the page cache of each in KiB.
func openReaders(ctx context.Context, path string, size int, cacheKiB int) (*readers, error) {
	pool, err := connect(ctx, path, size, url.Values{
		"mode":             {"rw"}, // a file that was deleted is not made again, empty
		"_query_only":      {"true"},
		"_cache_size":      {strconv.Itoa(-cacheKiB)},
		"_stmt_cache_size": {strconv.Itoa(keptStatements)},
	})
	if err != nil {
		return nil, err
	}
	return newReaders(pool, size), nil
}

func newReaders(pool *sqlx.DB, size int) *readers {
	// The semaphore bounds the connections. A limit here would be a second one to wait for.
	pool.SetMaxOpenConns(0)
	return &readers{pool: pool, places: semaphore.NewWeighted(int64(size)), patience: readPatience}
}

// acquire gives a connection. It waits for a free one until the deadline of ctx and for
// at most r.patience, and then returns [errNoConnection]; if ctx is cancelled, it returns
// ctx.Err(). The caller releases the connection, and acquires no other before it has.
func (r *readers) acquire(ctx context.Context) (*reader, error) {
	if !r.places.TryAcquire(1) {
		if err := r.wait(ctx); err != nil {
			return nil, err
		}
	}
	return r.take(ctx)
}

// tryAcquire gives a connection without waiting for one: if none is free, it returns nil.
func (r *readers) tryAcquire(ctx context.Context) (*reader, error) {
	if !r.places.TryAcquire(1) {
		return nil, nil
	}
	return r.take(ctx)
}

// wait waits for a place.
func (r *readers) wait(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	if r.places.Acquire(patient, 1) == nil {
		return nil
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	r.starved.CompareAndSwap(0, time.Now().UnixNano())
	return fmt.Errorf("%w: no connection was free within %s: %w", errNoConnection, r.patience, patient.Err())
}

// take gives a connection to a caller that has a place.
func (r *readers) take(ctx context.Context) (*reader, error) {
	if r.starved.Load() != 0 {
		r.starved.Store(0)
	}
	r.mu.Lock()
	if n := len(r.idle); n > 0 {
		taken := r.idle[n-1]
		r.idle = r.idle[:n-1]
		r.mu.Unlock()
		return taken, nil
	}
	r.mu.Unlock()
	conn, err := r.pool.Connx(ctx)
	if err != nil {
		r.places.Release(1)
		return nil, fmt.Errorf("open a connection for reads: %w", err)
	}
	return &reader{Conn: conn, of: r}, nil
}

// release gives the connection back.
func (c *reader) release() {
	r := c.of
	defer r.places.Release(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.idle = append(r.idle, c)
		return
	}
	_ = c.Close() // it was only read
}

// discard gives back a connection that can't be used again.
func (c *reader) discard() {
	defer c.of.places.Release(1)
	// The pool closes a connection that is said to be bad.
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.Close()
}

// stuck tells for how long no connection could be acquired by any read; zero if one is
// free or reads get one. It recovers by itself: a free connection ends it.
func (r *readers) stuck() time.Duration {
	since := r.starved.Load()
	if since == 0 {
		return 0
	}
	if r.places.TryAcquire(1) {
		r.places.Release(1)
		r.starved.Store(0)
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// close closes the idle connections. Those in use are closed when they are released.
func (r *readers) close() error {
	r.mu.Lock()
	idle := r.idle
	r.idle, r.closed = nil, true
	r.mu.Unlock()
	var errs []error
	for _, c := range idle {
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, r.pool.Close())...)
}

// stuckAfter is how long no read may get a connection before the node is unready. Reads
// that only take long free their connections one after the other.
const stuckAfter = 15 * time.Second

// starved returns a [ReadPathError] if no read of some kind has got a connection for a long
// time.
func (p *Projection) starved() error {
	db := p.serving.Load().db
	if since := db.points.stuck(); since > stuckAfter {
		return &ReadPathError{fmt.Errorf("no read of a single entity has obtained a database connection for %.0f s", since.Seconds())}
	}
	if since := db.lists.stuck(); since > stuckAfter {
		return &ReadPathError{fmt.Errorf("no list has obtained a database connection for %.0f s", since.Seconds())}
	}
	return nil
}
