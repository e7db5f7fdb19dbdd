package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
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
	return l.publish(ctx, messages)
}

// AppendCheckpoint appends a barrier at which every read model remembers its digests for a while,
// so that they can be compared. The errors are those of [Log.Append].
func (l *Log) AppendCheckpoint(ctx context.Context) (events.Position, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return 0, fmt.Errorf("generate a checkpoint id: %w", err)
	}
	return l.publish(ctx, []*message.Message{wire.NewCheckpoint(id.String(), l.config.Source, time.Now())})
}

func (l *Log) publish(ctx context.Context, messages []*message.Message) (events.Position, error) {
	if !l.Reachable() {
		return 0, ErrUnreachable
	}
	receipt := newReceipt(ctx, messages)
	if err := l.publisher.Publish(l.config.Topic, messages...); err != nil {
		return 0, err
	}
	return receipt.position, nil
}

// A receipt carries the position after the last message from the publisher to the caller, because
// Watermill's Publish does not return it. It is in the context of the messages.
type receipt struct{ position events.Position }

type receiptKey struct{}

// newReceipt returns the receipt for one Publish of the messages, which ends with ctx. Its
// position is valid after Publish has returned nil.
func newReceipt(ctx context.Context, messages []*message.Message) *receipt {
	r := &receipt{}
	ctx = context.WithValue(ctx, receiptKey{}, r)
	for _, m := range messages {
		m.SetContext(ctx)
	}
	return r
}

// receiptOf returns the receipt of a message, or nil.
func receiptOf(m *message.Message) *receipt {
	r, _ := m.Context().Value(receiptKey{}).(*receipt)
	return r
}
