package eventlog

import (
	"context"
	"sync"

	"github.com/clusterlite/clusterlite/events"
)

// callers wait for the answer to one question, which serves them all. A caller is only
// ever served by a question that was asked after it came: an answer already under way
// may be older than a write that the caller has seen acknowledged. So whoever answers
// takes those that wait, then asks, then answers just them.
type callers struct {
	// called gets a token when somebody has come.
	called chan struct{}

	mu      sync.Mutex
	waiting []chan<- answer
}

type answer struct {
	position events.Position
	err      error
}

func newCallers() callers { return callers{called: make(chan struct{}, 1)} }

// wait gives the answer. It returns ctx.Err() if ctx ends first, and [ErrClosed] once
// the log is closed.
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

// take gives those that have come, and a way to answer them.
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
