// Package verdicts delivers the verdicts on events to the callers that appended the events.
package verdicts

import (
	"iter"
	"sync"

	"github.com/clusterlite/clusterlite/events"
)

// A Judgement is the outcome of one event in the log.
type Judgement struct {
	// Position is the position after the event.
	Position events.Position
	Verdict  events.Verdict
}

// Expectations are the events whose judgements are expected. The zero value is ready to use. Safe
// for concurrent use.
type Expectations struct {
	mu  sync.Mutex
	all map[string]*Expectation // by event id
}

// An Expectation waits for the judgement of one event.
type Expectation struct {
	of        *Expectations
	id        string
	known     chan struct{}
	judgement Judgement // written before known is closed
}

// Expect registers interest in the judgement of an event, before the event is appended. If the
// event occurs twice in the log, the first occurrence counts. Call [Expectation.Forget] when the
// judgement is no longer wanted.
func (e *Expectations) Expect(eventID string) *Expectation {
	one := &Expectation{of: e, id: eventID, known: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all == nil {
		e.all = map[string]*Expectation{}
	}
	e.all[eventID] = one
	return one
}

// Judge delivers the judgements of events, by event id, to those who expect them.
func (e *Expectations) Judge(judged iter.Seq2[string, Judgement]) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) == 0 {
		return // as on nodes that only answer queries
	}
	for id, judgement := range judged {
		if one, ok := e.all[id]; ok {
			delete(e.all, id)
			one.judgement = judgement
			close(one.known)
		}
	}
}

// Len returns the number of events whose judgements are expected and not known yet.
func (e *Expectations) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all)
}

// Known returns a channel that is closed once the judgement is known: the event is in the log, and
// the read model has applied it.
func (x *Expectation) Known() <-chan struct{} { return x.known }

// Judgement returns the judgement, and false if it is not known yet.
func (x *Expectation) Judgement() (Judgement, bool) {
	select {
	case <-x.known:
		return x.judgement, true
	default:
		return Judgement{}, false
	}
}

// Forget ends the interest in the judgement. It does nothing if the judgement is known.
func (x *Expectation) Forget() {
	if _, known := x.Judgement(); known {
		return
	}
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	if x.of.all[x.id] == x {
		delete(x.of.all, x.id)
	}
}
