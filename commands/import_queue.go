package commands

import (
	"errors"
	"sync"
)

// errQueueStopped: the queue accepts no more lines.
var errQueueStopped = errors.New("the import accepts no more lines")

const (
	// batchLines and batchBytes limit a batch. More lines would gain little, and the bytes must
	// stay far below what the broker accepts at once.
	batchLines = 1000
	batchBytes = 1 << 20
)

// A lineQueue collects parsed lines into batches. It hands over a full batch at once. It hands
// over a smaller one, without waiting for more lines, if no earlier batch is in progress. So each
// line of a slow client is executed at once, and the lines of a fast client in few large batches.
//
// One goroutine calls put and end, another one take, and a third one landed. Any goroutine may
// call stop.
type lineQueue struct {
	mu      sync.Mutex
	room    sync.Cond // lines were taken, or the queue was stopped
	ready   sync.Cond // take may have something to return
	lines   []importLine
	bytes   int
	flying  int // batches that were taken and have not landed
	ended   bool
	stopped bool
}

func newLineQueue() *lineQueue {
	q := &lineQueue{}
	q.room.L, q.ready.L = &q.mu, &q.mu
	return q
}

func (q *lineQueue) full() bool { return len(q.lines) >= batchLines || q.bytes >= batchBytes }

// put adds a line, and waits while the batch is full. Once the queue is stopped, it adds nothing
// and returns errQueueStopped.
func (q *lineQueue) put(l importLine) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.full() && !q.stopped {
		q.room.Wait()
	}
	if q.stopped {
		return errQueueStopped
	}
	q.lines = append(q.lines, l)
	q.bytes += l.bytes
	if q.full() || q.flying == 0 {
		q.ready.Signal()
	}
	return nil
}

// end says that no more lines will follow.
func (q *lineQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.ready.Signal()
}

// stop makes take return no more batches and put accept no more lines.
func (q *lineQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.ready.Signal()
	q.room.Signal()
}

// take returns the next batch, which is in progress until landed is called. more is false once
// the queue is empty after end, and once it is stopped.
func (q *lineQueue) take() (batch []importLine, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.stopped && !q.full() && (len(q.lines) == 0 || q.flying > 0) && !q.ended {
		q.ready.Wait()
	}
	if q.stopped || len(q.lines) == 0 {
		return nil, false
	}
	batch, q.lines, q.bytes = q.lines, make([]importLine, 0, len(q.lines)), 0
	q.flying++
	q.room.Signal()
	return batch, true
}

// landed says that a batch is no longer in progress.
func (q *lineQueue) landed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flying--
	q.ready.Signal()
}
