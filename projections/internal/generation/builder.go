package generation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/readmodel"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// A Builder applies the log to a generation that serves no reads yet. One goroutine uses it.
type Builder struct {
	*Generation
	log          *eventlog.Log
	Batch        int           // records in a transaction near the bound; transactions far from it are larger
	Gentle       bool          // others need the machine, so no transaction is larger than Batch
	Info         eventlog.Info // the log as described at the start
	subscription *eventlog.Subscription
	taken        []events.Record // read but not applied yet
	Judged       func(events.Record, events.Verdict) error
	Spent        time.Duration // time spent on the last batch
}

// FarBatches is the number of batches that a builder applies in one transaction while its bound is
// more than that many batches away. A page that several batches change is then written once. For
// the same records, transactions of 10,000 take two thirds of the time of transactions of 1,000.
const FarBatches = 10

// DefaultMaxBatch is the default number of records in a transaction.
const DefaultMaxBatch = 1000

// NewBuilder starts to read the log at the generation's position. It returns a [refusal.Error]
// if the two do not belong together. It changes nothing at the broker. Closing the builder
// closes the generation, as does an error.
func NewBuilder(ctx context.Context, g *Generation, log *eventlog.Log, batch int) (*Builder, error) {
	b := &Builder{Generation: g, log: log, Batch: batch}
	if err := b.begin(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return b, nil
}

func (b *Builder) begin(ctx context.Context) (err error) {
	if b.Info, err = b.log.Describe(ctx); err != nil {
		return err
	}
	if err := b.Writer.Bind(context.Background(), b.log.Topic(), b.Info.ID); err != nil {
		return err
	}
	at := b.Writer.Mark()
	if err := at.CheckLog(ctx, b.log, b.Info); err != nil {
		return err
	}
	b.subscription, err = b.log.Subscribe(at.Position, at.Last)
	return err
}

// Position is the number of records applied so far.
func (b *Builder) Position() events.Position { return b.Writer.Position }

// A Bound is where a builder stops: at a position, or before the first record after a time,
// whichever comes first.
type Bound struct {
	Position events.Position
	Time     time.Time // zero for none
}

func (b Bound) excludes(r events.Record) bool {
	return r.Position() > b.Position || !b.Time.IsZero() && r.Timestamp.After(b.Time)
}

// Next returns the maximum number of records in the next transaction.
func (b *Builder) Next(until Bound) int {
	if far := FarBatches * b.Batch; !b.Gentle && until.Position-b.Position() > events.Position(far) {
		return far
	}
	return b.Batch
}

// Step waits for records and applies a batch of those within the bound. It returns true if
// nothing is left to apply. It returns ctx.Err() once ctx has ended, but finishes a batch that
// was begun.
func (b *Builder) Step(ctx context.Context, until Bound) (done bool, err error) {
	if b.Position() >= until.Position {
		return true, nil
	}
	if err := ctx.Err(); err != nil { // Take might return records nevertheless
		return false, err
	}
	if len(b.taken) == 0 {
		if b.taken, err = b.subscription.Take(ctx, b.Next(until)); err != nil {
			return false, err
		}
	}
	within, left := b.taken, b.taken[len(b.taken):]
	for i, r := range b.taken {
		if before, cut := r.UpTo(until.Position); cut {
			// The part of the gap beyond the bound remains for the next step.
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
		applied, err := b.Writer.Apply(context.Background(), within)
		if err != nil {
			return false, refusal.FromFormat(err)
		}
		b.taken, b.Spent = left, time.Since(began)
		if err := b.report(applied); err != nil {
			return false, err
		}
	}
	return done || b.Position() >= until.Position, nil
}

// report passes the verdicts to the caller's function.
func (b *Builder) report(done []readmodel.Judged) error {
	if b.Judged == nil {
		return nil
	}
	for _, j := range done {
		if err := b.Judged(j.Record, j.Verdict); err != nil {
			return err
		}
	}
	return nil
}

// Steps applies all records within the bound. progress, if not nil, is called after each batch.
func (b *Builder) Steps(ctx context.Context, until Bound, progress func(at, end events.Position)) error {
	for {
		done, err := b.Step(ctx, until)
		if err != nil {
			return err
		}
		if progress != nil {
			progress(b.Position(), until.Position)
		}
		if done {
			return nil
		}
	}
}

// Stop ends the subscription and leaves the generation open.
func (b *Builder) Stop() error { return b.subscription.Close() }

// MakeServing completes the generation and syncs it to the disk, so that it can serve.
func (b *Builder) MakeServing(ctx context.Context, declared *collections.Set, logger *slog.Logger) error {
	if b.DB.WAL == nil {
		return b.Publish(ctx, declared, logger)
	}
	return b.persist()
}

// persist syncs the rows to the disk. This leaves little to do during the swap, and a power
// loss after the swap finds them.
func (b *Builder) persist() error {
	if _, err := b.Writer.Conn.ExecContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return fmt.Errorf("sync %s: %w", b.DB.Path, err)
	}
	return nil
}
