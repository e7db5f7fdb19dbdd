package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// An Appending is an append that was begun. A caller that waits for something that follows the
// append, such as the event's verdict, need not be woken up for the append as well: it waits for
// that and for Failed, and takes the value from Confirmed afterwards. Exactly one of the two
// channels receives a value, unless the append is abandoned.
type Appending struct{ *publication }

// Begin begins to append an event. The append ends with ctx, as that of [Log.Append] does. The
// error is one of [Log.Append], and means that nothing was sent.
func (l *Log) Begin(ctx context.Context, e events.Event) (Appending, error) {
	if !l.Reachable() {
		return Appending{}, ErrUnreachable
	}
	record := wire.Record(l.config.Topic, wire.NewMessage(e))
	s := &publication{ctx: ctx, records: []*kgo.Record{record}, bytes: sizeOf(record), outcome: newOutcome()}
	if s.bytes > MaxRecordBytes {
		return Appending{}, tooLarge(s.bytes)
	}
	if !l.publisher.enqueue(s) {
		return Appending{}, ErrClosed
	}
	return Appending{s}, nil
}

// Confirmed receives the time at which all in-sync replicas had the event.
func (a Appending) Confirmed() <-chan time.Time { return a.confirmed }

// Failed receives the error of the append, which is one of [Log.Append].
func (a Appending) Failed() <-chan error { return a.failed }

// Abandon ends the wait for the append, and returns its error. It is called once ctx has ended. The
// error wraps [ErrUnreachable] if the event will never be sent, and [ErrOutcomeUnknown] otherwise.
func (a Appending) Abandon() error { return a.abandon() }

// An outcome is what becomes of a publication. Its channels have room for their only value, so
// that finish never blocks.
type outcome struct {
	confirmed chan time.Time
	failed    chan error
}

func newOutcome() outcome {
	return outcome{confirmed: make(chan time.Time, 1), failed: make(chan error, 1)}
}

func (o outcome) finish(err error) {
	if err != nil {
		o.failed <- err
		return
	}
	o.confirmed <- time.Now()
}

// abandon is for a publication whose context has ended.
func (s *publication) abandon() error {
	if s.decided.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: %w", ErrUnreachable, s.ctx.Err())
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, s.ctx.Err())
}

func tooLarge(bytes int) error { return fmt.Errorf("%w: it has %d bytes", ErrTooLarge, bytes) }
