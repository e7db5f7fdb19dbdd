package outgoing

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// A Watch ends a context when a peer is silent for too long. Safe for concurrent use.
type Watch struct {
	peer   string
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	timer    *time.Timer // nil while nothing is waited for
	turn     int         // which wait this is: a timer that was too late to be stopped is of another
	stage    Stage
	began    time.Time
	received int64
	silent   *SilentError
}

// NewWatch gives a context that ends when the watch finds the peer silent. The caller
// calls stop when it is done with the peer.
func NewWatch(ctx context.Context, peer string) (_ context.Context, w *Watch, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w = &Watch{peer: peer, cancel: cancel, began: time.Now()}
	return ctx, w, func() { w.Rest(); cancel(context.Canceled) }
}

// Wait begins to wait for the peer, for so long at most; zero is without end.
func (w *Watch) Wait(stage Stage, atMost time.Duration) { w.wait(stage, atMost, atMost) }

// wait waits for what is left of a limit.
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

// Rest says that nothing is waited for.
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

// Err makes of what went wrong what it was: a [SilentError] if the watch has ended the
// wait, or if a deadline of the caller has. It returns nil for nil.
func (w *Watch) Err(err error) error {
	if err == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent != nil {
		return w.silent
	}
	if timeout := (interface{ Timeout() bool })(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return &SilentError{Peer: w.peer, Stage: w.stage, For: time.Since(w.began), Received: w.received}
	}
	return err
}

// A Reader reads what a peer sends, and returns a [SilentError] if too little comes. One
// goroutine uses it.
type Reader struct {
	io.Reader
	watch  *Watch
	limits Limits
	waited time.Duration // for the next Least bytes
	came   int64         // of them
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
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.watch.Err(err)
	}
	return n, err
}

func (w *Watch) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received += int64(n)
}
