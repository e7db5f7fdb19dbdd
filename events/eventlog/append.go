package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
)

// MaxRecordBytes is the largest record that the log takes, headers included.
const MaxRecordBytes = 8 << 20

// Append writes events in order and returns the position after the last one, once all
// in-sync replicas hold them. Other writers' records may lie between. It returns
// [ErrUnreachable] if no broker leads the log, [ErrTooLarge] for an event that is too
// large, both before anything was sent, and else [ErrOutcomeUnknown] if the broker, or
// ctx, ends the wait before it is known. Events whose outcome is unknown may still be
// appended for some seconds after the return.
func (l *Log) Append(ctx context.Context, batch ...events.Event) (events.Position, error) {
	if len(batch) == 0 {
		return 0, errors.New("append of no events")
	}
	messages := make([]*message.Message, len(batch))
	for i, e := range batch {
		messages[i] = events.NewMessage(e)
	}
	return l.publish(ctx, messages)
}

// AppendCheckpoint appends a barrier at whose position every read model remembers its
// digests for a while, so that they can be compared. Errors as for [Log.Append].
func (l *Log) AppendCheckpoint(ctx context.Context) (events.Position, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return 0, fmt.Errorf("generate a checkpoint id: %w", err)
	}
	return l.publish(ctx, []*message.Message{events.NewCheckpoint(id.String(), l.config.Source, time.Now())})
}

func (l *Log) publish(ctx context.Context, messages []*message.Message) (events.Position, error) {
	if !l.Reachable() {
		return 0, ErrUnreachable
	}
	receipt, done := newReceipt(messages), make(chan error, 1)
	var decided atomic.Bool // that it is sent, or that it never will be
	// Publish knows no context. It ends by itself, when the producer's retries do.
	if !l.do(func() {
		p, err := l.connectPublisher(ctx)
		switch {
		case err != nil:
			done <- &notSentError{err}
		case decided.CompareAndSwap(false, true):
			done <- p.Publish(l.config.Topic, messages...)
		}
	}) {
		return 0, ErrClosed
	}
	select {
	case err := <-done:
		return receipt.position, appendError(err)
	case <-ctx.Done():
		if decided.CompareAndSwap(false, true) {
			return 0, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
		return 0, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
	}
}

// notSentError is why nothing was sent.
type notSentError struct{ error }

// Unwrap gives the cause.
func (e *notSentError) Unwrap() error { return e.error }

// appendError tells what is known of a failed append. After retries nobody knows what
// the first attempt did, so only what is refused before it is sent counts as not done.
func appendError(err error) error {
	var unsendable sarama.ConfigurationError // how the producer names a message over its limit
	var notSent *notSentError
	switch {
	case errors.As(err, &notSent):
		return notSent.error
	case err == nil:
		return nil
	case errors.As(err, &unsendable), errors.Is(err, sarama.ErrMessageSizeTooLarge), errors.Is(err, sarama.ErrMessageTooLarge):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	default:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
}

// receipt carries what Watermill's publisher drops, the offset, from the producer to
// the caller, by way of the messages' context.
type receipt struct {
	left     int // messages that Publish has not handed over yet
	batch    []*sarama.ProducerMessage
	position events.Position
}

type receiptKey struct{}

// newReceipt gives the receipt for one Publish of the messages. Its position is there
// once Publish has returned nil.
func newReceipt(messages []*message.Message) *receipt {
	r := &receipt{left: len(messages)}
	for _, m := range messages {
		m.SetContext(context.WithValue(context.Background(), receiptKey{}, r))
	}
	return r
}

// publisher is Watermill's publisher over a producer that acknowledges only what is
// on all in-sync replicas.
type publisher struct {
	*kafka.Publisher
	connections *connections
}

// Close closes the publisher and its connections.
func (p *publisher) Close() error {
	defer p.connections.cut()
	return p.Publisher.Close()
}

// connectPublisher gives the log's publisher, and connects it first if need be. Who waited
// for another to try until ctx ended does not try again.
func (l *Log) connectPublisher(ctx context.Context) (*publisher, error) {
	l.connecting.Lock()
	defer l.connecting.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	connected := func() (*publisher, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ctx.Err() != nil {
			return nil, ErrClosed
		}
		return l.publisher, nil
	}
	if p, err := connected(); p != nil || err != nil {
		return p, err
	}
	if err := l.findProducerIDs(); err != nil {
		return nil, err
	}
	p, err := l.newPublisher(l.ctx, l.producerConfig())
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		_ = p.Close() // nothing was sent with it
		return nil, ErrClosed
	}
	l.publisher = p
	return p, nil
}

// findProducerIDs asks a broker for what an idempotent producer begins with. Sarama leaves
// the client of a producer open, and trying, if that fails.
func (l *Log) findProducerIDs() (err error) {
	config := l.producerConfig()
	connections := dialWith(l.ctx, config)
	defer connections.cut()
	defer time.AfterFunc(l.config.connectPatience(), connections.cut).Stop()
	client, err := sarama.NewClient(l.config.Brokers, config)
	if err == nil {
		defer func() { _ = client.Close() }() // nothing is lost with it
		_, err = client.InitProducerID()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// newPublisher connects a publisher, for as long as ctx lasts and no longer than a few
// questions may take.
func (l *Log) newPublisher(ctx context.Context, config *sarama.Config) (*publisher, error) {
	connections := dialWith(l.sending, config)
	connected := context.AfterFunc(ctx, connections.cut)
	late := time.AfterFunc(l.config.connectPatience(), connections.cut)
	p, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers:               l.config.Brokers,
		Marshaler:             receiptMarshaler{},
		OverwriteSaramaConfig: config,
		Tracer:                batchTracer{},
	}, l.wm)
	connected()
	late.Stop()
	if err != nil {
		connections.cut()
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return &publisher{p, connections}, nil
}

// producerConfig asks for what makes an acknowledged append durable. Sarama's defaults
// (the leader alone, no idempotence) lose events when a leader dies.
func (l *Log) producerConfig() *sarama.Config {
	c := l.clientConfig()
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.Return.Successes = true
	c.Producer.MaxMessageBytes = MaxRecordBytes
	// Patience for an election (Kafka's default session timeout is 9 s): a write waits
	// as long as its client does. Beyond it the outcome is told as unknown.
	c.Producer.Retry.Max = 60
	c.Producer.Retry.Backoff = 100 * time.Millisecond
	c.Producer.Timeout = 5 * time.Second
	c.Net.ReadTimeout = 8 * time.Second
	c.Net.WriteTimeout = 8 * time.Second
	return c
}

// receiptMarshaler hands the message's receipt on to the producer.
type receiptMarshaler struct{ events.Codec }

func (m receiptMarshaler) Marshal(topic string, msg *message.Message) (*sarama.ProducerMessage, error) {
	record, err := m.Codec.Marshal(topic, msg)
	if err == nil {
		record.Partition = partition
		record.Metadata, _ = msg.Context().Value(receiptKey{}).(*receipt)
	}
	return record, err
}

// batchTracer is not a tracer: Watermill's hook for one is where a producer can be
// wrapped.
type batchTracer struct{ kafka.SaramaTracer }

func (batchTracer) WrapSyncProducer(_ *sarama.Config, p sarama.SyncProducer) sarama.SyncProducer {
	return batchProducer{p}
}

// batchProducer sends the messages of one Publish together. Watermill's publisher
// waits for each message before it sends the next, a round trip and an fsync each.
type batchProducer struct{ sarama.SyncProducer }

// SendMessage keeps the message until the last of its Publish has come, sends all, and
// notes the position on the receipt.
func (p batchProducer) SendMessage(m *sarama.ProducerMessage) (int32, int64, error) {
	r, ok := m.Metadata.(*receipt)
	if !ok || r == nil {
		return p.SyncProducer.SendMessage(m)
	}
	r.batch = append(r.batch, m)
	if r.left--; r.left > 0 {
		return partition, 0, nil
	}
	if err := p.send(r.batch); err != nil {
		return 0, 0, err
	}
	for _, sent := range r.batch {
		r.position = max(r.position, events.Position(sent.Offset)+1)
	}
	return m.Partition, m.Offset, nil
}

func (p batchProducer) send(batch []*sarama.ProducerMessage) error {
	if len(batch) == 1 {
		_, _, err := p.SyncProducer.SendMessage(batch[0])
		return err
	}
	err := p.SyncProducer.SendMessages(batch)
	var failed sarama.ProducerErrors
	if errors.As(err, &failed) && len(failed) > 0 {
		return failed[0].Err
	}
	return err
}
