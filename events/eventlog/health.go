package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/IBM/sarama"
)

// Health is how the topic and the brokers behind it are.
type Health struct {
	Info
	// Brokers are those that live, by id.
	Brokers []Broker
	// Controller is the id of the broker that governs the cluster, -1 for none.
	Controller int32
	// Leader is the id of the broker that leads the log, -1 for none: then nothing can be
	// appended.
	Leader int32
	// Replicas are the ids of the brokers that should hold the log, InSync those that do.
	Replicas, InSync []int32
	// MinInSync is how many must hold an event before it is acknowledged; 0 if the broker
	// doesn't tell.
	MinInSync int
	// Unfit is an [UnfitTopicError] if the topic's settings or partitions lose events.
	Unfit error
}

// A Broker is one that lives.
type Broker struct {
	ID int32
	// Addr is what clients are told to connect to, host:port.
	Addr string
}

// Health asks how the topic and its brokers are, and changes nothing. Errors as for
// [Log.Describe].
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
			return h, err // without a leader nobody knows where the log ends
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
