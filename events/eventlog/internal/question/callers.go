// Package question lets many callers share the answer to one question to the broker.
package question

import (
	"context"
	"sync"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/expiry"
)

// Callers wait for the answer to one question, which serves all of them. A caller must only get
// the answer to a question that was asked after it arrived, because an earlier answer may be older
// than a write that the caller knows to be acknowledged. So the goroutine that asks takes the waiting
// callers first, then asks, and then answers only these.
type Callers struct {
	// Called receives a token when a caller has arrived.
	Called chan struct{}

	closed error

	mu      sync.Mutex
	waiting []chan<- answer
}

type answer struct {
	position events.Position
	err      error
}

// NewCallers returns callers of whom none waits. Their error is closed once the log is closed.
func NewCallers(closed error) Callers {
	return Callers{Called: make(chan struct{}, 1), closed: closed}
}

// Wait returns the answer. It returns ctx.Err() if ctx ends first, and the error of
// [NewCallers] once closed is closed.
func (c *Callers) Wait(ctx context.Context, closed <-chan struct{}) (events.Position, error) {
	mine := make(chan answer, 1)
	c.mu.Lock()
	c.waiting = append(c.waiting, mine)
	c.mu.Unlock()
	select {
	case c.Called <- struct{}{}:
	default:
	}
	ended, expired := expiry.Done(ctx)
	select {
	case got := <-mine:
		return got.position, got.err
	case <-ended:
	case <-expired:
	case <-closed:
		return 0, c.closed
	}
	return 0, ctx.Err()
}

// Take returns a function that answers the callers that have arrived.
func (c *Callers) Take() (answerAll func(events.Position, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.waiting
	c.waiting = nil
	return func(p events.Position, err error) {
		for _, w := range waiting {
			w <- answer{p, err}
		}
	}
}

// Waiting returns how many callers have arrived since the last Take.
func (c *Callers) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}
