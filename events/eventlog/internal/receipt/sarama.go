package receipt

import (
	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
)

// Marshaler creates sarama's record for a message, and passes the message's receipt on to
// the producer.
type Marshaler struct{ Partition int32 }

// Marshal never fails.
func (r Marshaler) Marshal(topic string, m *message.Message) (*sarama.ProducerMessage, error) {
	record := toSarama(wire.Record(topic, m))
	record.Partition = r.Partition
	record.Metadata = Of(m)
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

// Tracer is not a tracer. Watermill's hook for a tracer is the only place where a producer
// can be wrapped.
type Tracer struct{ kafka.SaramaTracer }

// WrapSyncProducer returns a producer that fills in receipts.
func (Tracer) WrapSyncProducer(_ *sarama.Config, p sarama.SyncProducer) sarama.SyncProducer {
	return producer{p}
}

// producer writes the position to the receipt. Watermill's publisher drops the position.
type producer struct{ sarama.SyncProducer }

// SendMessage sends a message, and writes the position after it to its receipt.
func (p producer) SendMessage(m *sarama.ProducerMessage) (int32, int64, error) {
	in, offset, err := p.SyncProducer.SendMessage(m)
	if r, ok := m.Metadata.(*Receipt); err == nil && ok {
		r.Position = events.Position(offset) + 1
	}
	return in, offset, err
}
