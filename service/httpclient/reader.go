package httpclient

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// A Watch cancels a context when a peer is silent for too long. Safe for concurrent use.
type Watch struct {
	peer   string
	ctx    context.Context // the context that the watch ends
	late   bool            // the caller's context had ended before the exchange began
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	timer    *time.Timer // nil while the watch does not wait
	turn     int         // counts the waits, so that a timer that could not be stopped does not end a later one
	stage    Stage
	began    time.Time
	received int64
	silent   *SilentError
}

// NewWatch returns a context that is cancelled when the peer is silent for too long. The
// caller must call stop when it is done with the peer.
func NewWatch(ctx context.Context, peer string) (_ context.Context, w *Watch, stop func()) {
	late := ctx.Err() != nil
	ctx, cancel := context.WithCancelCause(ctx)
	w = &Watch{peer: peer, ctx: ctx, late: late, cancel: cancel, began: time.Now()}
	return ctx, w, func() { w.Rest(); cancel(context.Canceled) }
}

// Wait starts to wait for the peer, for at most this long; zero means without limit.
func (w *Watch) Wait(stage Stage, atMost time.Duration) { w.wait(stage, atMost, atMost) }

// wait waits for the rest of a limit.
func (w *Watch) wait(stage Stage, left, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest()
	w.stage, w.began = stage, time.Now()
	if limit == 0 {
		return
	}
	turn := w.turn
	w.timer = time.AfterFunc(left, func() { w.fire(turn, limit) })
}

// Rest stops the wait.
func (w *Watch) Rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest()
}

func (w *Watch) rest() {
	w.turn++
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

func (w *Watch) fire(turn int, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if turn != w.turn || w.silent != nil {
		return
	}
	w.silent = &SilentError{Peer: w.peer, Stage: w.stage, For: limit, Received: w.received}
	w.cancel(w.silent)
}

// Err returns the error to report for err, which an exchange with the peer has returned: a
// [SilentError] if a time limit ended the exchange, and err otherwise. The limit may be the
// watch's, the caller's deadline or a timeout of the library that made the exchange. Which
// of them came first, and what the library made of it, makes no difference. Err returns nil
// for nil.
func (w *Watch) Err(err error) error {
	if err == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent != nil {
		return w.silent
	}
	var other *SilentError // a time limit ended an exchange within this one or around it
	switch {
	case errors.As(err, &other):
		return err
	case errors.As(context.Cause(w.ctx), &other):
		w.silent = other
	case !w.late && (errors.Is(w.ctx.Err(), context.DeadlineExceeded) || timedOut(err)):
		w.silent = &SilentError{Peer: w.peer, Stage: w.stage, For: time.Since(w.began), Received: w.received}
	default:
		return err
	}
	return w.silent
}

// Silence returns the [SilentError] that the watch has detected or returned, or nil.
func (w *Watch) Silence() *SilentError {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silent
}

// timedOut reports whether any error that err wraps says that it is a timeout. [errors.As] would
// ask only the first error with that method. A [net/url.Error] answers "no" if a library has
// wrapped the error of the transport.
func timedOut(err error) bool {
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() { //nolint:errorlint // each in turn
		return true
	}
	switch e := err.(type) { //nolint:errorlint // each in turn
	case interface{ Unwrap() error }:
		return timedOut(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), timedOut)
	default:
		return false
	}
}

// A Reader reads what a peer sends, and returns a [SilentError] if too little arrives. Use
// it from one goroutine.
type Reader struct {
	io.Reader
	watch  *Watch
	limits Limits
	waited time.Duration // the time spent waiting for the next Least bytes
	came   int64         // how many of these bytes have arrived
}

// NewReader watches what is read from r, which must end with the watch's context.
func NewReader(r io.Reader, w *Watch, l Limits) *Reader {
	return &Reader{Reader: r, watch: w, limits: l}
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	began := time.Now()
	r.watch.wait(Receiving, r.limits.Stall-r.waited, r.limits.Stall)
	n, err := r.Reader.Read(p)
	r.watch.Rest()
	r.watch.count(n)
	r.waited += time.Since(began)
	if r.came += int64(n); r.came >= max(r.limits.Least, 1) {
		r.waited, r.came = 0, 0
	}
	if err != io.EOF { //nolint:errorlint // an error that wraps io.EOF means a closed connection
		err = r.watch.Err(err)
	}
	return n, err
}

func (w *Watch) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received += int64(n)
}
