package eventlog

import (
	"context"
	"sync"

	"github.com/clusterlite/clusterlite/events"
)

// callers wait for the answer to one question, which serves all of them. A caller must only get
// the answer to a question that was asked after it arrived, because an earlier answer may be older
// than a write that the caller knows to be acknowledged. So the goroutine that asks takes the waiting
// callers first, then asks, and then answers only these.
type callers struct {
	// called receives a token when a caller has arrived.
	called chan struct{}

	mu      sync.Mutex
	waiting []chan<- answer
}

type answer struct {
	position events.Position
	err      error
}

func newCallers() callers { return callers{called: make(chan struct{}, 1)} }

// wait returns the answer. It returns ctx.Err() if ctx ends first, and [ErrClosed] once the log
// is closed.
func (c *callers) wait(ctx context.Context, closed <-chan struct{}) (events.Position, error) {
	mine := make(chan answer, 1)
	c.mu.Lock()
	c.waiting = append(c.waiting, mine)
	c.mu.Unlock()
	select {
	case c.called <- struct{}{}:
	default:
	}
	select {
	case got := <-mine:
		return got.position, got.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-closed:
		return 0, ErrClosed
	}
}

// take returns a function that answers the callers that have arrived.
func (c *callers) take() (answerAll func(events.Position, error)) {
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
