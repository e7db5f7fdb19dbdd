package projections

import (
	"context"
	"iter"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/continuity"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A Batch is what one transaction applied. It is never empty.
type Batch struct {
	// Began is when the transaction began, and Ended when it was committed.
	Began, Ended time.Time

	judged []readmodel.Judged
}

// Len is the number of records applied.
func (b Batch) Len() int { return len(b.judged) }

// All returns the records in the order of the log, each with its verdict.
func (b Batch) All() iter.Seq2[events.Record, events.Verdict] {
	return func(yield func(events.Record, events.Verdict) bool) {
		for _, j := range b.judged {
			if !yield(j.Record, j.Verdict) {
				return
			}
		}
	}
}

// apply applies a batch to the generation that serves, publishes the state after it, and then
// wakes the callers that wait for it. Once damaged is closed it applies nothing, because the
// records were read for another file.
func (p *Projection) apply(records []events.Record, damaged <-chan struct{}) error {
	batch, err := p.applyServing(records, damaged)
	if batch.Len() > 0 && p.options.Applied != nil {
		p.options.Applied(batch)
	}
	return err
}

func (p *Projection) applyServing(records []events.Record, damaged <-chan struct{}) (Batch, error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	if isClosed(damaged) {
		return Batch{}, errDamaged
	}
	g := p.serving.Load()
	w := g.Writer
	batch := Batch{Began: time.Now()}
	var err error
	// The context can't end, so a batch that was begun is finished. The driver also starts a
	// goroutine for each statement whose context can end.
	batch.judged, err = w.Apply(context.Background(), records)
	batch.Ended = time.Now()
	if w.FilterPays() && w.Claims.Wanted() {
		p.fillFilter(g)
	}
	if batch.Len() > 0 {
		p.summarize(w)
		if last := batch.judged[batch.Len()-1].Record; last.Checkpoint {
			p.checkpoints.Remember(last.Position(), w.Summaries())
		}
		p.progress.Applied(w.Position)
		p.waiters.Advance(w.Position)
		p.judge(batch.judged)
	}
	return batch, p.observe(g, err)
}

// bind binds the generation that serves to its topic.
func (p *Projection) bind(topicID string) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	g := p.serving.Load()
	if err := g.Writer.Bind(context.Background(), p.options.Log.Topic(), topicID); err != nil {
		return p.observe(g, err)
	}
	p.summarize(g.Writer)
	return nil
}

func (p *Projection) summarize(w *applier.Writer) {
	summaries := w.Summaries()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.digested, p.topicID, p.digests = w.Mark(), w.Meta[applier.MetaTopicID], summaries
}

func (p *Projection) mark() continuity.Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digested
}

// published returns the digests of the collections after the last batch.
func (p *Projection) published() (at events.Position, summaries map[string]digest.Summary) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digested.Position, p.digests
}
