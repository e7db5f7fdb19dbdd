package commands

import (
	"context"
	"sync"
)

// queues let one command at a time at each entity. The zero value is ready.
type queues struct {
	mu     sync.Mutex
	places map[string]*place
}

type place struct {
	turn chan struct{} // holds a token while somebody is at the entity
	used int           // by whom is there or waits
}

// enter waits for its turn at key. It returns ctx.Err() if ctx ends first, else leave,
// to be called once.
func (q *queues) enter(ctx context.Context, key string) (leave func(), err error) {
	q.mu.Lock()
	if q.places == nil {
		q.places = map[string]*place{}
	}
	p := q.places[key]
	if p == nil {
		p = &place{turn: make(chan struct{}, 1)}
		q.places[key] = p
	}
	p.used++
	q.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
		return func() { <-p.turn; q.quit(key, p) }, nil
	case <-ctx.Done():
		q.quit(key, p)
		return nil, ctx.Err()
	}
}

func (q *queues) quit(key string, p *place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.used--; p.used == 0 {
		delete(q.places, key)
	}
}
