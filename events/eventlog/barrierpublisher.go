package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// barrierPublisher is Watermill's publisher for Kafka. Its producer acknowledges only what all
// in-sync replicas have.
type barrierPublisher struct {
	*kafka.Publisher
	connections *connections
}

// Close closes the publisher and its connections.
func (p *barrierPublisher) Close() error {
	defer p.connections.Cut()
	return p.Publisher.Close()
}

// newBarrierPublisher connects a publisher. It gives up when ctx ends, and after the time for a
// few questions.
func (l *Log) newBarrierPublisher(ctx context.Context) (*barrierPublisher, error) {
	config := l.barrierConfig()
	connections := l.dialWith(l.sending, config)
	connected := context.AfterFunc(ctx, connections.Cut)
	late := time.AfterFunc(l.config.connectPatience(), connections.Cut)
	p, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers:               l.config.Brokers,
		Marshaler:             receiptMarshaler{},
		OverwriteSaramaConfig: config,
		Tracer:                receiptTracer{},
	}, l.wm)
	connected()
	late.Stop()
	if err != nil {
		connections.Cut()
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return &barrierPublisher{p, connections}, nil
}

// barrierConfig configures appends that only prove something if they are confirmed soon.
func (l *Log) barrierConfig() *sarama.Config {
	c := l.clientConfig()
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 0 // a new connection finds a new leader sooner
	c.Producer.Timeout = l.config.barrierPatience()
	c.Net.ReadTimeout = l.config.barrierPatience()
	c.Net.WriteTimeout = l.config.barrierPatience()
	return c
}

// receiptMarshaler creates sarama's record for a message, and passes the message's receipt on to
// the producer.
type receiptMarshaler struct{}

// Marshal never fails.
func (receiptMarshaler) Marshal(topic string, m *message.Message) (*sarama.ProducerMessage, error) {
	record := toSarama(wire.Record(topic, m))
	record.Partition = partition
	record.Metadata = receiptOf(m)
	return record, nil
}

// toSarama converts a record of franz-go to one of sarama.
func toSarama(r *kgo.Record) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: r.Topic, Headers: make([]sarama.RecordHeader, len(r.Headers))}
	for i, h := range r.Headers {
		m.Headers[i] = sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value}
	}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	return m
}

// receiptTracer is not a tracer. Watermill's hook for a tracer is the only place where a producer
// can be wrapped.
type receiptTracer struct{ kafka.SaramaTracer }

func (receiptTracer) WrapSyncProducer(_ *sarama.Config, p sarama.SyncProducer) sarama.SyncProducer {
	return receiptProducer{p}
}

// receiptProducer writes the position to the receipt. Watermill's publisher drops the position.
type receiptProducer struct{ sarama.SyncProducer }

// SendMessage sends a message, and writes the position after it to its receipt.
func (p receiptProducer) SendMessage(m *sarama.ProducerMessage) (int32, int64, error) {
	in, offset, err := p.SyncProducer.SendMessage(m)
	if r, ok := m.Metadata.(*receipt); err == nil && ok && r != nil {
		r.position = events.Position(offset) + 1
	}
	return in, offset, err
}
