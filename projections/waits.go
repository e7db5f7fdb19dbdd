package projections

import (
	"sync"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A Judgement is the outcome of one event in the log.
type Judgement struct {
	// Position is the position after the event.
	Position events.Position
	Verdict  events.Verdict
}

// verdicts delivers judgements to the callers that appended the events and wait for them.
type verdicts struct {
	mu       sync.Mutex
	expected map[string]chan Judgement // by event id
}

// Expect registers interest in the judgement of an event, before the event is appended. The
// channel receives one value once the event is applied. Call forget when the judgement is no
// longer wanted. If the event occurs twice in the log, the first occurrence counts.
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

// ErrForgotten is returned for the digests at a position that is not one of the latest
// checkpoints.
var ErrForgotten = digest.ErrForgotten

// SummariesAt returns the digests of the collections at a checkpoint of the log. It returns
// [ErrForgotten] if the checkpoint is not known yet (see [Projection.WaitFor]) or any more.
func (p *Projection) SummariesAt(position events.Position) (map[string]digest.Summary, error) {
	return p.checkpoints.At(position)
}
