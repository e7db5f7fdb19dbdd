package lifecycle

import (
	"container/heap"
	"context"
	"sync"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/expiry"
)

// Waiters are the callers that wait for a position, nearest first. A batch wakes only those
// whose position it reaches.
type Waiters struct {
	mu      sync.Mutex
	waiting waiterHeap
	reached events.Position
	stopped error // the reason why no position will be reached
}

type waiter struct {
	position events.Position
	done     chan error // receives one value and never blocks the sender
	index    int        // in the heap; -1 once served
}

// Advance wakes all callers that wait for a position up to p.
func (w *Waiters) Advance(p events.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached = p
	for len(w.waiting) > 0 && w.waiting[0].position <= p {
		heap.Pop(&w.waiting).(*waiter).done <- nil
	}
}

// Stop wakes all callers with an error, and rejects later ones until Resume.
func (w *Waiters) Stop(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = err
	for len(w.waiting) > 0 {
		heap.Pop(&w.waiting).(*waiter).done <- err
	}
}

// Resume lets callers wait again.
func (w *Waiters) Resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = nil
}

// Wait returns nil once p is reached. Otherwise it returns the error of Stop or ctx.Err().
func (w *Waiters) Wait(ctx context.Context, p events.Position) error {
	w.mu.Lock()
	if w.reached >= p {
		w.mu.Unlock()
		return nil
	}
	if w.stopped != nil {
		defer w.mu.Unlock()
		return w.stopped
	}
	me := &waiter{position: p, done: make(chan error, 1)}
	heap.Push(&w.waiting, me)
	w.mu.Unlock()
	ended, expired := expiry.Done(ctx)
	select {
	case err := <-me.done:
		return err
	case <-ended:
	case <-expired:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if me.index >= 0 {
		heap.Remove(&w.waiting, me.index)
	}
	return ctx.Err()
}

// waiterHeap implements heap.Interface.
type waiterHeap []*waiter

func (h waiterHeap) Len() int { return len(h) }

func (h waiterHeap) Less(i, j int) bool { return h[i].position < h[j].position }

func (h waiterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *waiterHeap) Push(x any) {
	w := x.(*waiter)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *waiterHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	w.index = -1
	return w
}
