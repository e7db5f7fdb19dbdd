package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/IBM/sarama"
)

// Health describes the state of the topic and of the brokers.
type Health struct {
	Info
	// Brokers are the running brokers, sorted by id.
	Brokers []Broker
	// Controller is the id of the broker that is the controller of the cluster, or -1.
	Controller int32
	// Leader is the id of the broker that leads the log, or -1. Without a leader, nothing can be
	// appended.
	Leader int32
	// Replicas are the ids of the brokers that should have the log. InSync are those that do.
	Replicas, InSync []int32
	// MinInSync is the number of brokers that must have an event before it is acknowledged, or 0
	// if the broker does not report it.
	MinInSync int
	// Unfit is an [UnfitTopicError] if the settings or partitions of the topic can lose events.
	Unfit error
}

// A Broker is a running broker.
type Broker struct {
	ID int32
	// Addr is the address that the broker gives to clients, host:port.
	Addr string
}

// Health asks for the state of the topic and its brokers, and changes nothing. The errors are
// those of [Log.Describe].
func (l *Log) Health(ctx context.Context) (Health, error) {
	return withAdmin(ctx, l, func(client sarama.Client, admin sarama.ClusterAdmin) (Health, error) {
		h := Health{Leader: -1}
		brokers, controller, err := admin.DescribeCluster()
		if err != nil {
			return h, fmt.Errorf("describe the brokers: %w: %w", ErrUnreachable, err)
		}
		h.Controller = controller
		for _, b := range brokers {
			h.Brokers = append(h.Brokers, Broker{b.ID(), b.Addr()})
		}
		slices.SortFunc(h.Brokers, func(a, b Broker) int { return int(a.ID - b.ID) })
		if err := l.healthOfTopic(&h, admin); err != nil || h.Leader < 0 {
			return h, err // without a leader, the end of the log is unknown
		}
		info, err := l.describe(client, admin)
		if unfit := (*UnfitTopicError)(nil); errors.As(err, &unfit) {
			h.Unfit = err
			return h, nil
		}
		h.Info = info
		return h, err
	})
}

func (l *Log) healthOfTopic(h *Health, admin sarama.ClusterAdmin) error {
	topics, err := admin.DescribeTopics([]string{l.config.Topic})
	if err != nil {
		return fmt.Errorf("describe topic %s: %w: %w", l.config.Topic, ErrUnreachable, err)
	}
	for _, topic := range topics {
		if !errors.Is(topic.Err, sarama.ErrNoError) {
			return l.topicError(topic.Err)
		}
		for _, p := range topic.Partitions {
			if p.ID == partition {
				h.Leader, h.Replicas, h.InSync = p.Leader, p.Replicas, p.Isr
			}
		}
	}
	settings, err := l.settings(admin)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(settings["min.insync.replicas"]); err == nil {
		h.MinInSync = n
	}
	h.Unfit = l.checkSettings(settings)
	return nil
}
