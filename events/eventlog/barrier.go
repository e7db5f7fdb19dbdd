package eventlog

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/question"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/receipt"
	"github.com/clusterlite/clusterlite/events/wire"
)

// barrierPause is the time between two attempts to append a barrier.
const barrierPause = 100 * time.Millisecond

// barrierPatience is the maximum time for one barrier, including elections and new connections.
// Callers that arrive meanwhile wait for the next one.
func (c Config) barrierPatience() time.Duration { return 2 * c.AskTimeout }

// barriers appends barriers, one for all waiting callers. It has its own publisher. On the
// connection of writes, a barrier would wait as long as a write may take, which is a minute. A
// barrier that is not confirmed soon is abandoned. It does no harm if it arrives late or twice.
type barriers struct {
	log *Log
	question.Callers
	appended, failed atomic.Int64

	publisher *barrierPublisher // used by run only; nil while not connected
}

func newBarriers(l *Log) *barriers { return &barriers{log: l, Callers: question.NewCallers(ErrClosed)} }

// run appends barriers for callers until the log is closed.
func (b *barriers) run() {
	defer func() {
		if b.publisher != nil {
			_ = b.publisher.Close() // there is nothing to lose
		}
	}()
	for {
		select {
		case <-b.log.ctx.Done():
			return
		case <-b.Called:
		}
		answerAll := b.Take()
		p, err := b.append()
		if err != nil {
			b.failed.Add(1)
		} else {
			b.appended.Add(1)
		}
		answerAll(p, err)
	}
}

func (b *barriers) append() (events.Position, error) {
	patience := b.log.config.barrierPatience()
	ctx, cancel := context.WithTimeout(b.log.ctx, patience)
	defer cancel()
	for {
		if !b.log.Reachable() {
			return 0, ErrUnreachable
		}
		p, err := b.try(ctx)
		if err == nil {
			return p, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: a barrier was not confirmed within %s: %w", ErrUnreachable, patience, err)
		case <-time.After(barrierPause):
		}
	}
}

// try appends one barrier. After a failure it drops the publisher, so that the next attempt
// starts from the bootstrap list. If ctx ends, it leaves the attempt in the background. That ends
// soon, because its connections are cut, and closes its publisher. To a broker in the same process
// no write takes long, so barriers go there together with writes.
func (b *barriers) try(ctx context.Context) (events.Position, error) {
	type outcome struct {
		publisher *barrierPublisher
		position  events.Position
		err       error
	}
	if b.log.publisher.direct() {
		return b.publish(ctx, b.log.publisher)
	}
	done := make(chan outcome)
	p := b.publisher
	b.publisher = nil
	if !b.log.do(func() {
		var o outcome
		if o.publisher = p; p == nil {
			o.publisher, o.err = b.log.newBarrierPublisher(ctx)
		}
		if o.err == nil {
			given := context.AfterFunc(ctx, o.publisher.connections.Cut)
			o.position, o.err = b.publish(context.Background(), o.publisher)
			given()
		}
		select {
		case done <- o:
		case <-ctx.Done():
			if o.publisher != nil {
				_ = o.publisher.Close() // there is nothing to lose
			}
		}
	}) {
		return 0, ErrClosed
	}
	select {
	case o := <-done:
		if o.err != nil && o.publisher != nil {
			_ = o.publisher.Close()
			o.publisher = nil
		}
		b.publisher = o.publisher
		return o.position, o.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (b *barriers) publish(ctx context.Context, p message.Publisher) (events.Position, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return 0, fmt.Errorf("generate a barrier id: %w", err)
	}
	m := wire.NewBarrier(id.String(), b.log.config.Source, time.Now())
	r := receipt.New(ctx, nil, m)
	err = p.Publish(b.log.config.Topic, m)
	return r.Position, err
}
