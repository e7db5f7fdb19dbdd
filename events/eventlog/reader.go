package eventlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
)

// readAhead is how many messages a reader holds for Watermill's subscriber.
const readAhead = 256

// A reader reads the log for Watermill's subscriber, in place of sarama's consumer. When
// anything fails it ends, and the subscriber makes another, which begins with the
// bootstrap list, so it finds a cluster whose brokers have all changed their addresses.
type reader struct {
	subscription *Subscription
	fetcher      *fetcher
	messages     chan *sarama.ConsumerMessage
	errors       chan *sarama.ConsumerError
	cancel       context.CancelFunc
	done         sync.WaitGroup
}

var _ sarama.PartitionConsumer = (*reader)(nil)

// startReader reads from where the subscription is.
func (s *Subscription) startReader() (*reader, error) {
	ctx, cancel := context.WithCancel(s.log.ctx)
	f, err := s.log.newFetcher(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	r := &reader{
		subscription: s, fetcher: f, cancel: cancel,
		messages: make(chan *sarama.ConsumerMessage, readAhead),
		errors:   make(chan *sarama.ConsumerError),
	}
	r.done.Go(func() { r.run(ctx, s.next.Load()) })
	return r, nil
}

func (r *reader) run(ctx context.Context, next int64) {
	defer close(r.errors)
	defer close(r.messages)
	defer r.fetcher.close()
	for first := true; ctx.Err() == nil; first = false {
		messages, err := r.fetcher.fetch(ctx, next)
		if err != nil {
			// Asked afresh, since a leader that was deposed may say so too.
			if first && errors.Is(err, kerr.OffsetOutOfRange) {
				r.subscription.lose()
			}
			r.subscription.interrupted(ctx, err)
			return
		}
		for _, m := range messages {
			select {
			case r.messages <- m:
				next = m.Offset + 1
			case <-ctx.Done():
				return
			}
		}
	}
}

// interrupted notes why the reader ends, and pauses before the next is made.
func (s *Subscription) interrupted(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.log.config.Logger.Debug("reading the log was interrupted", "error", err)
	select {
	case <-time.After(probeInterval):
	case <-ctx.Done():
	}
}

// Messages implements [sarama.PartitionConsumer].
func (r *reader) Messages() <-chan *sarama.ConsumerMessage { return r.messages }

// Errors implements [sarama.PartitionConsumer]. None is ever sent: an error ends the
// reader.
func (r *reader) Errors() <-chan *sarama.ConsumerError { return r.errors }

// AsyncClose implements [sarama.PartitionConsumer].
func (r *reader) AsyncClose() { r.cancel() }

// Close ends the reader and waits for it.
func (r *reader) Close() error {
	r.cancel()
	r.done.Wait()
	return nil
}

// HighWaterMarkOffset implements [sarama.PartitionConsumer]. It is not known: [Log.End]
// asks for it.
func (r *reader) HighWaterMarkOffset() int64 { return 0 }

// Pause implements [sarama.PartitionConsumer]. A reader is never paused: it waits for the
// subscription.
func (r *reader) Pause() {}

// Resume implements [sarama.PartitionConsumer].
func (r *reader) Resume() {}

// IsPaused implements [sarama.PartitionConsumer].
func (r *reader) IsPaused() bool { return false }
