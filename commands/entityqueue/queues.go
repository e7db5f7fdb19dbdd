// Package entityqueue executes the commands of each entity one after another.
package entityqueue

import (
	"context"
	"sync"

	"github.com/clusterlite/clusterlite/events/expiry"
)

// Queues admit one command at a time to each entity. The zero value is ready to use. It is safe for
// concurrent use.
type Queues struct {
	mu    sync.Mutex
	turns map[string]*turn
}

type turn struct {
	token chan struct{} // holds a token while a command is being executed
	used  int           // the number of commands that are being executed or wait
}

// Enter waits for its turn at an entity. If ctx ends first, it returns ctx.Err(). Otherwise the
// caller must call leave once.
func (q *Queues) Enter(ctx context.Context, key string) (leave func(), err error) {
	q.mu.Lock()
	if q.turns == nil {
		q.turns = map[string]*turn{}
	}
	p := q.turns[key]
	if p == nil {
		p = &turn{token: make(chan struct{}, 1)}
		q.turns[key] = p
	}
	p.used++
	q.mu.Unlock()
	ended, expired := expiry.Done(ctx)
	select {
	case p.token <- struct{}{}:
		return func() { <-p.token; q.quit(key, p) }, nil
	case <-ended:
	case <-expired:
	}
	q.quit(key, p)
	return nil, ctx.Err()
}

func (q *Queues) quit(key string, p *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.used--; p.used == 0 {
		delete(q.turns, key)
	}
}
