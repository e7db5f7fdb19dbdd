// Package expiry has contexts that end after a timeout, and share their timers. A timer, and the
// registration with the parent, cost several times as much as the rest of a context, and most
// contexts of requests never end early.
package expiry

import (
	"context"
	"sync"
	"time"
)

// parts is the number of timers in one timeout: contexts that begin within the same part share one.
const parts = 64

// Timers make contexts that end after a timeout. The zero value is ready to use. Safe for
// concurrent use.
type Timers struct {
	mu     sync.Mutex
	latest *timer
}

// A timer ends the contexts that began within one part of a timeout.
type timer struct {
	after    time.Duration // the timeout of the contexts
	until    time.Time     // later contexts need a later timer
	deadline time.Time
	ended    chan struct{} // closed at the deadline
}

// WithTimeout returns a context that ends with its parent, when cancel is called, and after the
// timeout. That may be up to a part of 64 of the timeout later, and Deadline says when. Call cancel
// when the context is no longer used.
//
// The context has a timer of its own, and is registered with its parent, only after a call of Done.
// Wait with [Done] instead.
func (t *Timers) WithTimeout(parent context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	c := &expiring{Context: parent, timer: t.timer(after)}
	return c, c.stop
}

func (t *Timers) timer(after time.Duration) *timer {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.latest != nil && t.latest.after == after && now.Before(t.latest.until) {
		return t.latest
	}
	part := max(after, 0) / parts
	made := &timer{after: after, until: now.Add(part), deadline: now.Add(part + after), ended: make(chan struct{})}
	if after <= 0 {
		close(made.ended)
	} else {
		time.AfterFunc(part+after, func() { close(made.ended) })
	}
	t.latest = made
	return made
}

// Done returns two channels, of which one is closed when ctx ends for another reason than its own
// cancel. It is cheaper than ctx.Done for contexts of [Timers]. For others the second channel is nil.
func Done(ctx context.Context) (<-chan struct{}, <-chan struct{}) {
	if c, ok := ctx.(*expiring); ok {
		return c.Context.Done(), c.timer.ended
	}
	return ctx.Done(), nil
}

// An expiring is a context of [Timers].
type expiring struct {
	context.Context // the parent
	timer           *timer

	mu       sync.Mutex
	standard context.Context // made by the first call of Done
	cancel   context.CancelFunc
	stopped  bool
	err      error // the first reason for the end that Err has found
}

// Deadline implements [context.Context].
func (c *expiring) Deadline() (time.Time, bool) {
	if earlier, ok := c.Context.Deadline(); ok && earlier.Before(c.timer.deadline) {
		return earlier, true
	}
	return c.timer.deadline, true
}

// Done implements [context.Context].
func (c *expiring) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.standard == nil {
		c.standard, c.cancel = context.WithDeadline(c.Context, c.timer.deadline)
		if c.stopped {
			c.cancel()
		}
	}
	return c.standard.Done()
}

// Err implements [context.Context].
func (c *expiring) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = c.reason()
	}
	return c.err
}

// reason returns why the context has ended, or nil. The caller holds the mutex.
func (c *expiring) reason() error {
	if c.standard != nil && c.standard.Err() != nil {
		return c.standard.Err()
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	if c.stopped {
		return context.Canceled
	}
	select {
	case <-c.timer.ended: // maybe a moment before the timer of the standard context
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Value implements [context.Context]. A context that is derived from this one asks by Value what it
// registers with.
func (c *expiring) Value(key any) any {
	c.mu.Lock()
	standard := c.standard
	c.mu.Unlock()
	if standard != nil {
		return standard.Value(key)
	}
	return c.Context.Value(key)
}

func (c *expiring) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if c.cancel != nil {
		c.cancel()
	}
}
