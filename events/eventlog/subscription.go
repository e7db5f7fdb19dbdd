package eventlog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/semaphore"

	"github.com/clusterlite/clusterlite/events"
)

const (
	// maxWaiting and maxWaitingBytes bound what a subscription reads ahead of its
	// reader.
	maxWaiting      = 4096
	maxWaitingBytes = 64 << 20
	// recordOverhead is what a record costs in memory beside its document, roughly.
	recordOverhead = 1 << 10
)

// ErrGone is returned if the next record to read is no longer, or not yet, in the log:
// it was deleted from the front, or the log was cut back or made anew.
type ErrGone struct {
	// Next is the position that was to be read.
	Next events.Position
}

// Error says what happened.
func (e *ErrGone) Error() string {
	return fmt.Sprintf("the log does not hold the record at offset %d", e.Next)
}

// A Subscription reads records in the order of the log, each once, from a position on.
// It reconnects by itself. One goroutine may call Take; Close is safe from any.
type Subscription struct {
	log        *Log
	subscriber *kafka.Subscriber
	ahead      *semaphore.Weighted
	records    chan waiting
	cancel     context.CancelFunc
	settled    chan struct{} // closed once it is connected, or never will be
	pumped     sync.WaitGroup

	next atomic.Int64  // offset of the next record to read from the broker
	lost chan struct{} // closed when the broker doesn't have it
	once sync.Once
}

// waiting is a record that was read, and the room that it takes.
type waiting struct {
	record events.Record
	bytes  int64
}

// Subscribe reads from a position on. The broker need not be reachable. The
// subscription ends when it is closed.
func (l *Log) Subscribe(from events.Position) (*Subscription, error) {
	ctx, cancel := context.WithCancel(l.ctx)
	config := l.consumerConfig()
	dialWith(ctx, config) // cut by Close, or Watermill's subscriber would wait for the broker
	s := &Subscription{
		log:     l,
		ahead:   semaphore.NewWeighted(maxWaitingBytes),
		records: make(chan waiting, maxWaiting),
		cancel:  cancel,
		settled: make(chan struct{}),
		lost:    make(chan struct{}),
	}
	s.next.Store(int64(from))
	var err error
	s.subscriber, err = kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers:               l.config.Brokers,
		Unmarshaler:           events.Codec{},
		OverwriteSaramaConfig: config,
		NackResendSleep:       kafka.NoSleep,
		ReconnectRetrySleep:   probeInterval,
		Tracer:                seekTracer{subscription: s},
	}, l.wm)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("make a subscriber: %w", err)
	}
	s.pumped.Go(func() { s.pump(ctx, l.config.Topic) })
	return s, nil
}

// consumerConfig is for the client that Watermill's subscriber makes. It asks whether a
// broker is there, and no more: a [reader] reads.
func (l *Log) consumerConfig() *sarama.Config {
	c := l.askConfig()
	c.Consumer.Return.Errors = false // nobody reads that channel in Watermill's mode without a group
	return c
}

// pump takes messages from Watermill into the channel. A message is acked when it is
// taken: whoever reads keeps the position with what it derives from the records, and
// after a crash subscribes from there.
func (s *Subscription) pump(ctx context.Context, topic string) {
	defer close(s.records)
	messages, err := s.connect(ctx, topic)
	close(s.settled)
	if err != nil {
		return
	}
	for m := range messages {
		record := events.ParseMessage(m)
		if record.Offset < s.next.Load() { // delivered again after a reconnect
			m.Ack()
			continue
		}
		room := min(int64(len(m.Payload))+recordOverhead, maxWaitingBytes)
		if s.ahead.Acquire(ctx, room) != nil {
			return
		}
		s.next.Store(record.Offset + 1)
		m.Ack()
		select {
		case s.records <- waiting{record, room}:
		case <-ctx.Done():
			return
		}
	}
}

// connect subscribes, again and again until a broker is there: Watermill reconnects by
// itself only once it was connected.
func (s *Subscription) connect(ctx context.Context, topic string) (<-chan *message.Message, error) {
	for {
		messages, err := s.subscriber.Subscribe(ctx, topic)
		if err == nil {
			return messages, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(probeInterval):
		}
	}
}

// Take waits for a record, then returns it with what else has come, at most most
// records and never waiting for more. Where the log holds no record it returns one whose
// content is [events.NoRecord], so that the position after the last that it returned reaches
// the end of the log, whatever the log ends with. A checkpoint ends what it returns, so that
// what is derived from it can be kept. It returns an [ErrGone] if the log doesn't hold
// the next record, ctx.Err() if ctx ends, [ErrClosed] after Close.
func (s *Subscription) Take(ctx context.Context, most int) ([]events.Record, error) {
	first, err := s.first(ctx)
	if err != nil {
		return nil, err
	}
	batch := append(make([]events.Record, 0, min(most, len(s.records)+1)), first)
	for len(batch) < most && !batch[len(batch)-1].Checkpoint {
		select {
		case w, ok := <-s.records:
			if !ok {
				return batch, nil
			}
			batch = append(batch, s.release(w))
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// first waits for one record. What was read before the log lost the next one is still
// good, so that comes first.
func (s *Subscription) first(ctx context.Context) (events.Record, error) {
	select {
	case w, ok := <-s.records:
		return s.received(w, ok)
	default:
	}
	select {
	case w, ok := <-s.records:
		return s.received(w, ok)
	case <-s.lost:
		return events.Record{}, &ErrGone{Next: events.Position(s.next.Load())}
	case <-ctx.Done():
		return events.Record{}, ctx.Err()
	}
}

func (s *Subscription) received(w waiting, ok bool) (events.Record, error) {
	if !ok {
		return events.Record{}, ErrClosed
	}
	return s.release(w), nil
}

func (s *Subscription) release(w waiting) events.Record {
	s.ahead.Release(w.bytes)
	return w.record
}

// Close ends the subscription and waits for what it started.
func (s *Subscription) Close() error {
	s.cancel()
	// Watermill's subscriber can't be closed while it subscribes.
	<-s.settled
	err := s.subscriber.Close()
	s.pumped.Wait()
	return err
}

// lose notes that the log doesn't hold the next record.
func (s *Subscription) lose() { s.once.Do(func() { close(s.lost) }) }

// seekTracer is not a tracer: Watermill's hook for one is where a consumer can be
// wrapped, and its subscriber starts only at the oldest or the newest offset.
type seekTracer struct {
	kafka.SaramaTracer
	subscription *Subscription
}

func (t seekTracer) WrapConsumer(c sarama.Consumer) sarama.Consumer {
	return seekConsumer{c, t.subscription}
}

func (seekTracer) WrapPartitionConsumer(c sarama.PartitionConsumer) sarama.PartitionConsumer {
	return c
}

// seekConsumer starts where the subscription is, on each connect, and with a [reader] of
// our own.
type seekConsumer struct {
	sarama.Consumer
	subscription *Subscription
}

// Partitions says what there is without asking: the log has one partition. If the question
// failed, Watermill's subscriber would leave its client open.
func (seekConsumer) Partitions(string) ([]int32, error) { return []int32{partition}, nil }

func (c seekConsumer) ConsumePartition(string, int32, int64) (sarama.PartitionConsumer, error) {
	return c.subscription.startReader()
}
