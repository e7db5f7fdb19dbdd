package projections

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// A builder applies the log to a generation that nobody reads yet. One goroutine uses
// it.
type builder struct {
	*generation
	log          *eventlog.Log
	batch        int           // records in a transaction near the bound; far from it there are more
	gentle       bool          // others need the machine: no transaction is larger than batch
	info         eventlog.Info // the log as it was at the start
	subscription *eventlog.Subscription
	taken        []events.Record // and not applied yet
	judged       func(events.Record, events.Verdict) error
	spent        time.Duration // on the last batch
}

// farBatches is how many batches a builder applies in one transaction while it is farther
// than that from where it has to go. A page that several batches change is then written
// once: transactions of 10,000 records take two thirds of the time of those of 1,000.
const farBatches = 10

// builderBatch is how many records one transaction applies by default.
const builderBatch = 1000

// newBuilder starts to read the log where the generation is. It asks the broker whether
// the two belong together, and returns a [RefusedError] if not. It changes nothing at the
// broker. The generation is closed with the builder, or if there is an error.
func newBuilder(ctx context.Context, g *generation, log *eventlog.Log, batch int) (*builder, error) {
	b := &builder{generation: g, log: log, batch: batch}
	if err := b.begin(ctx); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return b, nil
}

func (b *builder) begin(ctx context.Context) (err error) {
	if b.info, err = b.log.Describe(ctx); err != nil {
		return err
	}
	if err := b.writer.bind(context.Background(), b.log.Topic(), b.info.ID); err != nil {
		return err
	}
	if err := b.writer.mark().goesOn(ctx, b.log, b.info); err != nil {
		return err
	}
	b.subscription, err = b.log.Subscribe(b.writer.position)
	return err
}

// position is how many records are applied.
func (b *builder) position() events.Position { return b.writer.position }

// A bound is where a builder stops: at a position, or before the first record that is
// later than a time, whichever comes first.
type bound struct {
	position events.Position
	time     time.Time // zero for none
}

func (b bound) excludes(r events.Record) bool {
	return r.Position() > b.position || !b.time.IsZero() && r.Timestamp.After(b.time)
}

// next is how many records the next transaction applies at most.
func (b *builder) next(until bound) int {
	if far := farBatches * b.batch; !b.gentle && until.position-b.position() > events.Position(far) {
		return far
	}
	return b.batch
}

// step applies a batch of what lies within the bound, once something has come. It
// returns true if there is nothing more to apply. It returns ctx.Err() once
// ctx has ended; a batch that was begun is finished.
func (b *builder) step(ctx context.Context, until bound) (done bool, err error) {
	if b.position() >= until.position {
		return true, nil
	}
	if err := ctx.Err(); err != nil { // Take may have more all the same
		return false, err
	}
	if len(b.taken) == 0 {
		if b.taken, err = b.subscription.Take(ctx, b.next(until)); err != nil {
			return false, err
		}
	}
	within, left := b.taken, b.taken[len(b.taken):]
	for i, r := range b.taken {
		if before, cut := r.UpTo(until.position); cut {
			// The part of the gap beyond the bound stays, for the next step.
			within, left, done = append(slices.Clone(b.taken[:i]), before), b.taken[i:], true
			break
		}
		if until.excludes(r) {
			within, left, done = b.taken[:i], b.taken[i:], true
			break
		}
	}
	if len(within) > 0 {
		began := time.Now()
		applied, err := b.writer.apply(context.Background(), within)
		if err != nil {
			return false, refuseNewer(err)
		}
		b.taken, b.spent = left, time.Since(began)
		if err := b.tell(applied); err != nil {
			return false, err
		}
	}
	return done || b.position() >= until.position, nil
}

// tell hands on the verdicts to who wants them.
func (b *builder) tell(done []judged) error {
	if b.judged == nil {
		return nil
	}
	for _, j := range done {
		if err := b.judged(j.record, j.verdict); err != nil {
			return err
		}
	}
	return nil
}

// steps applies all that lies within the bound. told, if not nil, is called after each
// batch.
func (b *builder) steps(ctx context.Context, until bound, told func(at, end events.Position)) error {
	for {
		done, err := b.step(ctx, until)
		if err != nil {
			return err
		}
		if told != nil {
			told(b.position(), until.position)
		}
		if done {
			return nil
		}
	}
}

// stop ends the subscription and leaves the generation open.
func (b *builder) stop() error { return b.subscription.Close() }
