package commands

import (
	"errors"
	"sync"
)

// errQueueStopped: the queue takes no more lines.
var errQueueStopped = errors.New("the import accepts no more lines")

const (
	// batchLines and batchBytes bound a batch. More lines gain little; the bytes stay
	// far below what the broker takes at once.
	batchLines = 1000
	batchBytes = 1 << 20
)

// A lineQueue collects parsed lines into batches. It hands over a batch once that is full.
// It hands over what there is, without waiting for more lines, if no earlier batch is under
// way. So a client that sends slowly has each line done at once, and one that sends fast has
// its lines done in few large batches.
//
// One goroutine calls put and end, another take, a third landed; stop is safe from any.
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

// put adds a line. It waits while the batch is full. Once the queue is stopped it adds
// nothing and returns errQueueStopped.
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

// end says that no more lines follow.
func (q *lineQueue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.ready.Signal()
}

// stop has take return no more batches, and put take no more lines.
func (q *lineQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.ready.Signal()
	q.room.Signal()
}

// take gives the next batch, which is under way until landed is called. more is false once
// there is none, or the queue is stopped.
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

// landed says that a batch is no longer under way.
func (q *lineQueue) landed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flying--
	q.ready.Signal()
}
