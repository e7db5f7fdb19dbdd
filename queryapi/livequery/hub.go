package livequery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

const (
	// MaxQueries is the maximum number of different queries that clients follow at a time on one node.
	MaxQueries = 64
	// MaxBytes is the maximum size of the rows that a followed query shows.
	MaxBytes = 256 << 10
	// minPause is the minimum time between two reads of a query. The pause is also pauseFactor times as
	// long as the read took, so that following a slow query takes at most a fifth of one core.
	minPause    = 50 * time.Millisecond
	pauseFactor = 4
)

// ErrEnded means that a query can't be followed any longer, because its model was replaced or removed.
var ErrEnded = errors.New("the query has ended")

// A State is what a query shows.
type State struct {
	// Rows is a JSON array on one line. It must not be changed.
	Rows []byte
	// At is the position that the rows reflect. They may have been the same before.
	At events.Position
	// Changed is the position of the last event that could change the rows.
	Changed events.Position
	// Tag is the same for equal rows, on all nodes. The hub sets it.
	Tag string
	// Stopped reports that the model applies no events until an operator has helped. The hub sets it.
	Stopped bool

	pieces *pieces // the same for all clients
}

// A Query is a query to follow. Its functions must be safe for concurrent use.
type Query struct {
	// Key identifies what the query shows. It must contain all that the rows depend on, except for the
	// events.
	Key string
	// Read reads the rows. If changed returns false for the position of the last event that could change
	// them, it may return a state without rows. The error is a problem, or [ErrEnded].
	Read func(ctx context.Context, changed func(events.Position) bool) (State, error)
	// Wait waits until the model is beyond a position. stopped reports that it can't get there without
	// an operator. The error is that of ctx, or [ErrEnded].
	Wait func(ctx context.Context, after events.Position) (stopped bool, err error)
}

// A Hub has the watches of a node. The zero value is ready to use. Safe for concurrent use.
type Hub struct {
	mu      sync.Mutex
	watches map[string]*watch
}

// A watch reads the rows of one query for all clients that follow it.
type watch struct {
	hub     *Hub
	query   Query
	cancel  context.CancelFunc
	clients int // guarded by hub.mu

	mu      sync.Mutex
	state   State
	known   bool // the rows were read
	failed  error
	waiting int           // clients that wait for a position
	moved   chan struct{} // closed when there is something to send to clients, and with each beat
}

// join returns the watch of a query for a client of a server. The caller has to leave it. The error is a
// problem.
func (h *Hub) join(ctx context.Context, q Query, timing Timing) (*watch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w, ok := h.watches[q.Key]; ok {
		w.clients++
		return w, nil
	}
	if len(h.watches) >= MaxQueries {
		return nil, problem.Overloaded.New(fmt.Sprintf("Clients follow %d different queries on this node, which is the maximum. Retry later, or read the rows again instead.", MaxQueries))
	}
	if h.watches == nil {
		h.watches = map[string]*watch{}
	}
	draining := web.Draining(ctx)
	ctx, cancel := context.WithCancel(context.Background()) // the watch outlives the client
	w := &watch{hub: h, query: q, cancel: cancel, clients: 1, moved: make(chan struct{})}
	h.watches[q.Key] = w
	go w.run(ctx)
	go web.Beat(ctx, min(timing.Heartbeat, timing.Life), draining, w.beat)
	return w, nil
}

// leave ends the watch with its last client.
func (w *watch) leave() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if w.clients--; w.clients == 0 {
		w.cancel()
		w.forget()
	}
}

// forget makes the next client start another watch, with the mutex of the hub held.
func (w *watch) forget() {
	if w.hub.watches[w.query.Key] == w {
		delete(w.hub.watches, w.query.Key)
	}
}

// now returns the state, whether there is one yet, a channel that is closed when there is something to
// send, and why there will be no other state.
func (w *watch) now() (s State, known bool, moved <-chan struct{}, failed error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.known, w.moved, w.failed
}

// change sets the state. It wakes the clients unless they only need the position at the next heartbeat.
func (w *watch) change(next State, failed error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next.pieces = newPieces(next)
	silent := w.known && failed == nil && w.waiting == 0 && next.Tag == w.state.Tag && next.Stopped == w.state.Stopped
	w.state, w.known, w.failed = next, w.known || failed == nil, failed
	if !silent {
		w.wakeAll()
	}
}

// beat wakes the clients.
func (w *watch) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeAll()
}

// wakeAll wakes the clients. The caller holds the lock.
func (w *watch) wakeAll() {
	close(w.moved)
	w.moved = make(chan struct{})
}

// run reads the rows again and again until the last client has left or the query fails.
func (w *watch) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		err := w.read(ctx)
		if err == nil {
			err = w.wait(ctx, max(minPause, pauseFactor*time.Since(began)))
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		w.hub.mu.Lock()
		w.forget()
		w.hub.mu.Unlock()
		last, _, _, _ := w.now()
		w.change(last, err)
		return
	}
}

func (w *watch) read(ctx context.Context) error {
	last, known, _, _ := w.now()
	next, err := w.query.Read(ctx, func(changed events.Position) bool { return !known || changed != last.Changed })
	if err != nil {
		return err
	}
	if next.Rows == nil {
		next.Rows, next.Tag = last.Rows, last.Tag
	} else {
		if len(next.Rows) > MaxBytes {
			return TooLarge()
		}
		sum := sha256.Sum256(next.Rows)
		if next.Tag = hex.EncodeToString(sum[:16]); next.Tag == last.Tag {
			next.Rows = last.Rows
		}
	}
	w.change(next, nil)
	return nil
}

// TooLarge is the problem of a query that shows more than may be followed.
func TooLarge() error {
	return problem.MalformedRequest.New(fmt.Sprintf("The rows take more than %d KiB, which is the maximum for a query that is followed. Ask for fewer rows with limit, or for fewer columns with fields.", MaxBytes>>10))
}

// wait pauses, and then waits until there may be something new.
func (w *watch) wait(ctx context.Context, pause time.Duration) error {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	state, _, _, _ := w.now()
	for {
		stopped, err := w.query.Wait(ctx, state.At)
		if err != nil || !stopped {
			return err
		}
		if !state.Stopped {
			state.Stopped = true
			w.change(state, nil)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
