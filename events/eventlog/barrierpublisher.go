package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"

	"github.com/clusterlite/clusterlite/events/eventlog/internal/receipt"
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
		Marshaler:             receipt.Marshaler{Partition: partition},
		OverwriteSaramaConfig: config,
		Tracer:                receipt.Tracer{},
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
