// Package receipt carries what Watermill's Publish has no parameters and results for, between a caller
// and a publisher.
package receipt

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/clusterlite/clusterlite/events"
)

// A Receipt belongs to one Publish. It is in the context of the messages.
type Receipt struct {
	// Ctx ends the wait. It is the context of the messages without the receipt.
	Ctx context.Context
	// Known, if not nil, makes Publish wait until it is closed, and not only until the messages are
	// appended.
	Known <-chan struct{}
	// Position is the position after the last message. It is valid after Publish has returned nil,
	// unless Known is set.
	Position events.Position
	// Confirmed is when the append was confirmed, if Known is set.
	Confirmed atomic.Pointer[time.Time]
}

type key struct{}

// New returns the receipt for one Publish of the messages, which ends with ctx, and puts it into
// their context.
func New(ctx context.Context, known <-chan struct{}, messages ...*message.Message) *Receipt {
	r := &Receipt{Ctx: ctx, Known: known}
	ctx = context.WithValue(ctx, key{}, r)
	for _, m := range messages {
		m.SetContext(ctx)
	}
	return r
}

// Of returns the receipt of a message. If the message has none, Of returns a new receipt that ends with
// the context of the message and that no caller reads.
func Of(m *message.Message) *Receipt {
	if r, ok := m.Context().Value(key{}).(*Receipt); ok {
		return r
	}
	return &Receipt{Ctx: m.Context()}
}
