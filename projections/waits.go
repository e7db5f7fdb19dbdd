package projections

import (
	"errors"
	"maps"
	"sync"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A Judgement is what became of one event in the log.
type Judgement struct {
	// Position is the position after the event.
	Position events.Position
	Verdict  events.Verdict
}

// verdicts hands judgements to those that appended the events and wait for them.
type verdicts struct {
	mu       sync.Mutex
	expected map[string]chan Judgement // by event id
}

// Expect asks for the judgement of the event with this id, before it is appended. The
// channel gets one value once the event is applied. Call forget when it is no longer
// wanted. If the event should come twice in the log, the first counts.
func (p *Projection) Expect(eventID string) (judgement <-chan Judgement, forget func()) {
	return p.verdicts.expect(eventID)
}

func (v *verdicts) expect(id string) (<-chan Judgement, func()) {
	ch := make(chan Judgement, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.expected == nil {
		v.expected = map[string]chan Judgement{}
	}
	v.expected[id] = ch
	return ch, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.expected[id] == ch {
			delete(v.expected, id)
		}
	}
}

func (v *verdicts) announce(done []readmodel.Judged) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, j := range done {
		if len(v.expected) == 0 {
			return
		}
		if ch, ok := v.expected[j.Record.Event.ID]; ok {
			ch <- Judgement{Position: j.Record.Position(), Verdict: j.Verdict}
			delete(v.expected, j.Record.Event.ID)
		}
	}
}

// keptCheckpoints is how many checkpoints are remembered. Whoever has appended one asks
// soon, or appends another.
const keptCheckpoints = 16

// ErrForgotten is returned for the digests at a position that is no checkpoint, or not
// one of the last.
var ErrForgotten = errors.New("the digests at this position are not available: it is not one of the latest checkpoints")

// checkpoints remember the digests at the last checkpoints in the log. They are not
// kept over a restart.
type checkpoints struct {
	mu    sync.Mutex
	order []events.Position
	at    map[events.Position]map[string]digest.Summary
}

func (c *checkpoints) remember(position events.Position, summaries map[string]digest.Summary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[events.Position]map[string]digest.Summary{}
	}
	if len(c.order) == keptCheckpoints {
		delete(c.at, c.order[0])
		c.order = c.order[1:]
	}
	c.order = append(c.order, position)
	c.at[position] = maps.Clone(summaries)
}

// SummariesAt gives what the collections were at a checkpoint of the log. It returns
// [ErrForgotten] if that is not known (any more, or yet: see [WaitFor]).
func (p *Projection) SummariesAt(position events.Position) (map[string]digest.Summary, error) {
	p.checkpoints.mu.Lock()
	defer p.checkpoints.mu.Unlock()
	summaries, known := p.checkpoints.at[position]
	if !known {
		return nil, ErrForgotten
	}
	return maps.Clone(summaries), nil
}
