package faults

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterlite/clusterlite/e2e/history"
)

const (
	teams, teamSize = 3, 3
	// progress is the number of operations that the clients must complete before a fault,
	// between two faults, and after the last one.
	progress = 200
	// progressWithin is the maximum time for that without faults.
	progressWithin = 90 * time.Second
)

// A round consists of clients at work, one kind of fault, and a check of the answers that the
// clients received.
type round struct {
	run    *Run
	number int
	fault  Fault

	ending, last atomic.Bool
	groupCount   atomic.Int64

	mu         sync.Mutex
	operations []history.Operation
	groups     []*group
	tally      Tally
	violations []string
}

// A team is a set of clients that work on one group at a time.
type team struct {
	round *round
	mu    sync.Mutex
	now   *group
}

// group returns the current group, or a new one if the current group has enough operations.
func (t *team) group() *group {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil || t.now.full() {
		t.now = t.round.newGroup()
	}
	return t.now
}

func (r *round) newGroup() *group {
	g := newGroup(fmt.Sprintf("%s%d", r.prefix(), r.groupCount.Add(1)))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups = append(r.groups, g)
	return g
}

// prefix returns the prefix of the e-mail addresses of the round.
func (r *round) prefix() string { return fmt.Sprintf("r%dg", r.number) }

// ended reports whether clients must start no new operation. pressing also stops their retries.
func (r *round) ended() bool    { return r.ending.Load() }
func (r *round) pressing() bool { return r.last.Load() }

// violate records a violation.
func (r *round) violate(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// count counts an answer, and reports whether it contains the outcome of an operation.
func (r *round) count(a answer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch a.meaning {
	case decided:
		return true
	case wrong:
		r.violations = append(r.violations, "an answer is wrong: "+a.said)
	case refused:
		r.tally.Refused++
	}
	return false
}

// record stores an operation for the check.
func (r *round) record(g *group, o history.Operation) {
	g.note(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = append(r.operations, o)
	r.tally.Operations++
	if o.Outcome == history.Unknown {
		r.tally.Unknown++
	}
}

// play lets the clients work, injects the fault, heals it, and checks the round.
func (r *round) play() {
	var clients sync.WaitGroup
	for t := range teams {
		team := &team{round: r}
		for i := range teamSize {
			c := &client{id: t*teamSize + i, round: r, rng: rand.New(rand.NewPCG(r.run.Seed, uint64(r.number*100+t*teamSize+i))), sender: newSender()}
			clients.Go(func() { c.work(team) })
		}
	}
	r.await(progress)
	for range r.fault.times() {
		r.fault.inject(r)
		r.tally.Injected++
		r.healthy()
		r.await(progress)
	}
	r.ending.Store(true)
	// Allow some time for operations that have no outcome yet.
	patience := time.AfterFunc(2*writePatience, func() { r.last.Store(true) })
	clients.Wait()
	patience.Stop()
	r.inspect()
}

// done returns how many operations have an outcome.
func (r *round) done() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.Operations - r.tally.Unknown
}

// await waits until the clients have completed n more operations.
func (r *round) await(n int) {
	from := r.done()
	if !within(progressWithin, func() bool { return r.done() >= from+n }) {
		r.violate("clients got only %d operations done within %s, with nothing broken", r.done()-from, progressWithin)
	}
}

// pause waits for a random duration between the given ones.
func (r *round) pause(shortest, longest time.Duration) {
	time.Sleep(shortest + time.Duration(r.run.rng.Int64N(int64(longest-shortest))))
}

// within polls a condition, and reports whether it became true in time.
func within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
