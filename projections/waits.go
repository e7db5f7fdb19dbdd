package projections

import (
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/readmodel"
	"github.com/clusterlite/clusterlite/projections/verdicts"
)

// Expect registers interest in the judgement of an event, before the event is appended. The
// judgement is known once the event is applied.
func (p *Projection) Expect(eventID string) *verdicts.Expectation { return p.expected.Expect(eventID) }

// judge delivers the judgements of records that were applied.
func (p *Projection) judge(applied []readmodel.Judged) {
	p.expected.Judge(func(yield func(string, verdicts.Judgement) bool) {
		for i := range applied {
			j := &applied[i]
			if !yield(j.Record.Event.ID, verdicts.Judgement{Position: j.Record.Position(), Verdict: j.Verdict}) {
				return
			}
		}
	})
}

// ErrForgotten is returned for the digests at a position that is not one of the latest
// checkpoints.
var ErrForgotten = digest.ErrForgotten

// SummariesAt returns the digests of the collections at a checkpoint of the log. It returns
// [ErrForgotten] if the checkpoint is not known yet (see [Projection.WaitFor]) or any more.
func (p *Projection) SummariesAt(position events.Position) (map[string]digest.Summary, error) {
	return p.checkpoints.At(position)
}
