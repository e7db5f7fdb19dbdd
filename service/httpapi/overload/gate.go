package overload

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// queued is the number of requests that may wait for each one in progress.
const queued = 4

// A Gate limits the number of requests in progress. Safe for concurrent use.
type Gate struct {
	slots   *semaphore.Weighted
	waiting atomic.Int64
	queue   int64
}

// NewGate returns a gate for so many requests in progress. Four times as many may wait.
func NewGate(slots int) *Gate {
	return &Gate{slots: semaphore.NewWeighted(int64(slots)), queue: int64(slots) * queued}
}

// Enter waits until the request may proceed, in the order of arrival. After success, call
// Leave once. The error is a [BusyError], or a problem if ctx ended.
func (g *Gate) Enter(ctx context.Context) error {
	if !g.slots.TryAcquire(1) {
		defer g.waiting.Add(-1)
		if g.waiting.Add(1) > g.queue {
			return &BusyError{QueueFull}
		}
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if g.slots.Acquire(wait, 1) != nil {
			return waitError(ctx, Timeout)
		}
	}
	return nil
}

// Leave ends what Enter began.
func (g *Gate) Leave() { g.slots.Release(1) }

// Waiting returns the number of requests that wait in Enter.
func (g *Gate) Waiting() int64 { return g.waiting.Load() }
