package subjects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/clusterlite/clusterlite/bench/load"
)

// RawName is the name of a bare producer in the report.
const RawName = "raw produce through Watermill"

// raw is the broker of `clusterlite serve` alone. It appends records of the size of an event to
// a separate topic through Watermill's Kafka publisher, with settings that make an acknowledged
// append durable. Nothing reads the records.
type raw struct{ ClusterLite }

func (*raw) Name() string { return RawName }

func (*raw) Fill(context.Context, int) error { return nil }

// Drive appends with the given number of concurrent writers, each with one record in flight.
func (s *raw) Drive(ctx context.Context, writers int, d time.Duration) (m load.Measurement, err error) {
	const topic = "bench.raw"
	config := rawConfig()
	if err := createTopic(s.Broker, topic, config); err != nil {
		return m, err
	}
	publisher, err := kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: []string{s.Broker}, Marshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, publisher.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	payload, took, failed := make([]byte, 500), make([][]time.Duration, writers), make([]error, writers)
	began := time.Now()
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			for ctx.Err() == nil && failed[i] == nil {
				sent := time.Now()
				failed[i] = publisher.Publish(topic, message.NewMessage(watermill.NewUUID(), payload))
				took[i] = append(took[i], time.Since(sent))
			}
		})
	}
	wait.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	return load.Measurement{
		PerSecond: float64(len(all)) / time.Since(began).Seconds(), Requests: len(all),
		P50: load.Percentile(all, 0.5), P99: load.Percentile(all, 0.99),
	}, errors.Join(failed...)
}

func rawConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Producer.RequiredAcks, c.Producer.Idempotent, c.Net.MaxOpenRequests = sarama.WaitForAll, true, 1
	c.Producer.Return.Successes = true
	return c
}

// createTopic creates a topic with one partition, unless a topic with this name exists.
func createTopic(broker, topic string, config *sarama.Config) error {
	admin, err := sarama.NewClusterAdmin([]string{broker}, config)
	if err != nil {
		return err
	}
	err = admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	if errors.Is(err, sarama.ErrTopicAlreadyExists) {
		err = nil
	}
	if err := errors.Join(err, admin.Close()); err != nil {
		return fmt.Errorf("create the topic %s: %w", topic, err)
	}
	return nil
}
