package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// Limited holds the connections for one kind of read, and limits how many of them are in use. A read
// acquires exactly one connection, runs all its statements on it, and releases it. Since no read takes a
// second connection while it holds one, reads can't deadlock.
//
// Safe for concurrent use.
type Limited[C io.Closer] struct {
	open  func(context.Context) (C, error)
	slots *semaphore.Weighted
	// Patience is how long a read waits for a connection.
	Patience time.Duration
	// Starved is the time, in Unix nanoseconds, of the first read that got no connection since a
	// connection was last acquired. It is 0 if there was none.
	Starved atomic.Int64

	mu     sync.Mutex
	idle   []C // last in, first out, because recent connections have warm caches
	closed bool
}

// errClosed means that the connections were closed.
var errClosed = errors.New("the connections are closed")

func newLimited[C io.Closer](size int, open func(context.Context) (C, error)) *Limited[C] {
	return &Limited[C]{open: open, slots: semaphore.NewWeighted(int64(size)), Patience: ReadPatience}
}

// Acquire returns a connection. It waits for a free one until the deadline of ctx, and at most
// l.Patience, and then returns [ErrNoConnection]. If ctx is cancelled, it returns ctx.Err().
// The caller releases the connection, and acquires no other before that.
func (l *Limited[C]) Acquire(ctx context.Context) (c C, err error) {
	if !l.slots.TryAcquire(1) {
		if err := l.wait(ctx); err != nil {
			return c, err
		}
	}
	return l.take(ctx)
}

// TryAcquire returns a connection without waiting. If none is free, it returns the zero value.
func (l *Limited[C]) TryAcquire(ctx context.Context) (c C, err error) {
	if !l.slots.TryAcquire(1) {
		return c, nil
	}
	return l.take(ctx)
}

// wait waits for a slot.
func (l *Limited[C]) wait(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, l.Patience)
	defer cancel()
	if l.slots.Acquire(patient, 1) == nil {
		return nil
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	l.Starved.CompareAndSwap(0, time.Now().UnixNano())
	return fmt.Errorf("%w: no connection was free within %s: %w", ErrNoConnection, l.Patience, patient.Err())
}

// take returns a connection to a caller that has a slot.
func (l *Limited[C]) take(ctx context.Context) (C, error) {
	if l.Starved.Load() != 0 {
		l.Starved.Store(0)
	}
	c, ok, err := l.pop()
	if err == nil && !ok {
		c, err = l.open(ctx)
	}
	if err != nil {
		l.slots.Release(1)
		return c, fmt.Errorf("open a connection for reads: %w", err)
	}
	return c, nil
}

// pop returns an idle connection, if there is one.
func (l *Limited[C]) pop() (c C, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return c, false, errClosed
	}
	n := len(l.idle)
	if n == 0 {
		return c, false, nil
	}
	c = l.idle[n-1]
	l.idle = l.idle[:n-1]
	return c, true, nil
}

// Release returns a connection to the pool.
func (l *Limited[C]) Release(c C) {
	defer l.slots.Release(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.idle = append(l.idle, c)
		return
	}
	_ = c.Close() // nothing was written
}

// Idle returns the number of open connections that no read uses.
func (l *Limited[C]) Idle() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.idle)
}

// Stuck returns how long no read has been able to acquire a connection, or zero if reads get
// one or one is free. It resets itself once a connection is free.
func (l *Limited[C]) Stuck() time.Duration {
	since := l.Starved.Load()
	if since == 0 {
		return 0
	}
	if l.slots.TryAcquire(1) {
		l.slots.Release(1)
		l.Starved.Store(0)
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// Close closes the idle connections. Connections in use are closed when they are released.
func (l *Limited[C]) Close() error {
	l.mu.Lock()
	idle := l.idle
	l.idle, l.closed = nil, true
	l.mu.Unlock()
	var errs []error
	for _, c := range idle {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
