package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/receipt"
	"github.com/clusterlite/clusterlite/events/wire"
)

// MaxRecordBytes is the maximum size of a record, including its headers.
const MaxRecordBytes = 8 << 20

// Append appends events in order, and returns the position after the last one once all in-sync
// replicas have them. Records of other writers may lie between them. It returns [ErrUnreachable]
// if no broker leads the log, and [ErrTooLarge] for an event that is too large; in both cases
// nothing was sent. It returns [ErrOutcomeUnknown] if the broker or ctx ends the wait before the
// outcome is known. Such events may still be appended some seconds later.
func (l *Log) Append(ctx context.Context, batch ...events.Event) (events.Position, error) {
	if len(batch) == 0 {
		return 0, errors.New("append of no events")
	}
	messages := make([]*message.Message, len(batch))
	for i, e := range batch {
		messages[i] = wire.NewMessage(e)
	}
	return l.append(ctx, messages)
}

// AppendUntil appends one event and waits until known is closed. Someone else closes it once the event
// has been read back. A caller that needs the event back anyway is thus woken once, not twice. Errors
// are those of [Log.Append] and are returned at once. If there is no error, the event is in the log, and
// either known is closed or ctx has ended.
//
// The result is the time at which the append was confirmed. If the event was read back before that, it is
// the time of the return.
func (l *Log) AppendUntil(ctx context.Context, known <-chan struct{}, e events.Event) (confirmed time.Time, err error) {
	r, err := l.publish(ctx, known, []*message.Message{wire.NewMessage(e)})
	if err != nil {
		return time.Time{}, err
	}
	if at := r.Confirmed.Load(); at != nil {
		return *at, nil
	}
	return time.Now(), nil
}

// AppendCheckpoint appends a barrier at which every read model remembers its digests for a while,
// so that they can be compared. The errors are those of [Log.Append].
func (l *Log) AppendCheckpoint(ctx context.Context) (events.Position, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return 0, fmt.Errorf("generate a checkpoint id: %w", err)
	}
	return l.append(ctx, []*message.Message{wire.NewCheckpoint(id.String(), l.config.Source, time.Now())})
}

func (l *Log) append(ctx context.Context, messages []*message.Message) (events.Position, error) {
	r, err := l.publish(ctx, nil, messages)
	if err != nil {
		return 0, err
	}
	return r.Position, nil
}

func (l *Log) publish(ctx context.Context, known <-chan struct{}, messages []*message.Message) (*receipt.Receipt, error) {
	if !l.Reachable() {
		return nil, ErrUnreachable
	}
	r := receipt.New(ctx, known, messages...)
	if err := l.publisher.Publish(l.config.Topic, messages...); err != nil {
		return nil, err
	}
	return r, nil
}
