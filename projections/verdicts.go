package projections

import (
	"sync"

	"github.com/clusterlite/clusterlite/events"
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

func (v *verdicts) announce(done []judged) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, j := range done {
		if len(v.expected) == 0 {
			return
		}
		if ch, ok := v.expected[j.record.Event.ID]; ok {
			ch <- Judgement{Position: j.record.Position(), Verdict: j.verdict}
			delete(v.expected, j.record.Event.ID)
		}
	}
}
