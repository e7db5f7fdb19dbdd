package projections

import (
	"iter"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// A Batch is what one transaction applied; never empty.
type Batch struct {
	// Began is when the transaction began, Ended when it was committed.
	Began, Ended time.Time

	judged []judged
}

// Len is how many records were applied.
func (b Batch) Len() int { return len(b.judged) }

// All gives the records in the order of the log, each with its verdict.
func (b Batch) All() iter.Seq2[events.Record, events.Verdict] {
	return func(yield func(events.Record, events.Verdict) bool) {
		for _, j := range b.judged {
			if !yield(j.record, j.verdict) {
				return
			}
		}
	}
}
