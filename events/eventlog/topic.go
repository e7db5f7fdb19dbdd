package eventlog

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events"
)

// partition is the only partition of the log. Its offsets are the total order of all events.
const partition = 0

// Info describes the current state of the topic.
type Info struct {
	// ID is the broker's id of the topic, in hexadecimal. If a topic is deleted and created
	// again, its id changes. It is empty if the broker has no ids.
	ID string
	// Start is the position before the oldest record that still exists.
	Start events.Position
	// End is the position after the newest record.
	End events.Position
	// Replicas is the replication factor of the topic.
	Replicas int
}

// UnfitTopicError is returned for a topic that can't hold the log, because it would lose events
// or their order. Its text names the setting, and the command that corrects it.
type UnfitTopicError struct {
	Topic, Reason, Fix string
}

// Error returns the reason and the remedy.
func (e *UnfitTopicError) Error() string {
	return fmt.Sprintf("topic %s can't hold the log: %s. %s", e.Topic, e.Reason, e.Fix)
}

// Prepare creates the topic if it is missing, checks that it can hold the log, and describes it.
// It returns an [UnfitTopicError] if the topic can't hold the log. The error wraps
// [ErrUnreachable] if the broker does not answer.
func (l *Log) Prepare(ctx context.Context) (Info, error) {
	return withAdmin(ctx, l, func(client sarama.Client, admin sarama.ClusterAdmin) (Info, error) {
		if err := l.createTopic(admin); err != nil {
			return Info{}, err
		}
		if err := client.RefreshMetadata(l.config.Topic); err != nil {
			return Info{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		info, err := l.describe(client, admin)
		if err != nil {
			return Info{}, err
		}
		return info, l.checkTopic(admin, info)
	})
}

// Describe describes the topic as it is, without creating or checking it. The error wraps
// [ErrNoTopic] if the topic does not exist, and [ErrUnreachable] if the broker does not
// answer.
func (l *Log) Describe(ctx context.Context) (Info, error) {
	return withAdmin(ctx, l, l.describe)
}

// adminPatience is the maximum time for all questions of one call that uses withAdmin. Some of
// them are about the whole cluster.
func (c Config) adminPatience() time.Duration { return 10*time.Second + c.AskTimeout }

// withAdmin runs f with new clients, because such calls are rare. It returns when ctx ends, or
// when the broker has not answered for a long time, even if the broker hangs.
func withAdmin[T any](ctx context.Context, l *Log, f func(sarama.Client, sarama.ClusterAdmin) (T, error)) (none T, _ error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	if !l.do(func() {
		value, err := func() (none T, _ error) {
			config := l.clientConfig()
			config.Metadata.Full = true // needed to find the controller
			config.Net.ReadTimeout = 5 * l.config.AskTimeout
			config.Net.WriteTimeout = 5 * l.config.AskTimeout
			connections := l.dialWith(l.ctx, config)
			defer connections.Cut()
			defer context.AfterFunc(ctx, connections.Cut)()
			defer time.AfterFunc(l.config.adminPatience(), connections.Cut).Stop()
			client, err := sarama.NewClient(l.config.Brokers, config)
			if err != nil {
				return none, unreachable(l.diagnose(ctx, connections, err))
			}
			admin, err := sarama.NewClusterAdminFromClient(client)
			if err != nil {
				return none, errors.Join(unreachable(connections.Explain(err)), client.Close())
			}
			defer func() { _ = admin.Close() }() // this closes the client too
			value, err := f(client, admin)
			if access := accessError(err); access != nil {
				err = access
			}
			return value, err
		}()
		done <- answer{value, err}
	}) {
		return none, ErrClosed
	}
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-l.ctx.Done():
		return none, ErrClosed
	}
}

// keepForever are the settings without which the log would lose events, in the spelling of the
// broker.
var keepForever = []struct{ name, value string }{
	{"cleanup.policy", "delete"},
	{"retention.ms", "-1"},
	{"retention.bytes", "-1"},
}

func (l *Log) createTopic(admin sarama.ClusterAdmin) error {
	settings := map[string]*string{}
	for _, s := range keepForever {
		settings[s.name] = &s.value
	}
	brokersClock, maximum := "LogAppendTime", strconv.Itoa(MaxRecordBytes)
	settings["message.timestamp.type"] = &brokersClock
	settings["max.message.bytes"] = &maximum
	err := admin.CreateTopic(l.config.Topic, &sarama.TopicDetail{
		NumPartitions:     1,
		ReplicationFactor: -1, // the broker's default
		ConfigEntries:     settings,
	}, false)
	switch {
	case err == nil:
		l.config.Logger.Info("created the topic", "topic", l.config.Topic)
		return l.requireTwoReplicas(admin)
	case errors.Is(err, sarama.ErrTopicAlreadyExists):
		return nil
	case errors.Is(err, sarama.ErrTopicAuthorizationFailed), errors.Is(err, sarama.ErrClusterAuthorizationFailed):
		return nil // another process creates it; if not, describe reports that
	default:
		return fmt.Errorf("create topic %s: %w: %w", l.config.Topic, ErrUnreachable, err)
	}
}

// requireTwoReplicas makes an append wait for a second replica if there are three. With one
// replica only, an acknowledged event could be lost with a machine. If all three were required,
// the loss of a machine would stop all writes.
func (l *Log) requireTwoReplicas(admin sarama.ClusterAdmin) error {
	topics, err := admin.DescribeTopics([]string{l.config.Topic})
	if err != nil {
		return fmt.Errorf("describe topic %s: %w", l.config.Topic, err)
	}
	if len(topics) != 1 || len(topics[0].Partitions) != 1 || len(topics[0].Partitions[0].Replicas) < 3 {
		return nil
	}
	two := "2"
	err = admin.IncrementalAlterConfig(sarama.TopicResource, l.config.Topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"min.insync.replicas": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &two},
	}, false)
	if err != nil {
		// Redpanda does not have this setting, and always waits for a majority.
		l.config.Logger.Warn("could not set min.insync.replicas=2", "topic", l.config.Topic, "error", err)
	}
	return nil
}

// topicError returns the error for a topic that the broker can't describe.
func (l *Log) topicError(err sarama.KError) error {
	if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		return fmt.Errorf("describe topic %s: %w: %w", l.config.Topic, ErrNoTopic, err)
	}
	return fmt.Errorf("describe topic %s: %w", l.config.Topic, err)
}

func (l *Log) describe(client sarama.Client, admin sarama.ClusterAdmin) (Info, error) {
	topics, err := admin.DescribeTopics([]string{l.config.Topic})
	if err != nil {
		return Info{}, fmt.Errorf("describe topic %s: %w: %w", l.config.Topic, ErrUnreachable, err)
	}
	if len(topics) != 1 {
		return Info{}, fmt.Errorf("describe topic %s: %w: unexpected number of answers: %d", l.config.Topic, ErrUnreachable, len(topics))
	}
	topic := topics[0]
	if !errors.Is(topic.Err, sarama.ErrNoError) {
		return Info{}, l.topicError(topic.Err)
	}
	if n := len(topic.Partitions); n != 1 {
		return Info{}, &UnfitTopicError{
			Topic:  l.config.Topic,
			Reason: fmt.Sprintf("it has %d partitions, but only a single partition is totally ordered", n),
			Fix:    fmt.Sprintf("Use another topic name or, if the topic is empty, delete it and let ClusterLite create it: kafka-topics.sh --bootstrap-server %s --delete --topic %s", l.config.Brokers[0], l.config.Topic),
		}
	}
	info := Info{Replicas: len(topic.Partitions[0].Replicas)}
	if topic.Uuid != (sarama.Uuid{}) {
		info.ID = hex.EncodeToString(topic.Uuid[:])
	}
	start, err := client.GetOffset(l.config.Topic, partition, sarama.OffsetOldest)
	if err != nil {
		return Info{}, fmt.Errorf("look up the start of %s: %w: %w", l.config.Topic, ErrUnreachable, err)
	}
	end, err := client.GetOffset(l.config.Topic, partition, sarama.OffsetNewest)
	if err != nil {
		return Info{}, fmt.Errorf("look up the end of %s: %w: %w", l.config.Topic, ErrUnreachable, err)
	}
	info.Start, info.End = events.Position(start), events.Position(end)
	return info, nil
}

// checkTopic returns an [UnfitTopicError] for settings that lose events. If a broker does not
// report a setting, as Redpanda does for some, the setting is assumed to be correct.
func (l *Log) checkTopic(admin sarama.ClusterAdmin, info Info) error {
	settings, err := l.settings(admin)
	if err != nil {
		return err
	}
	if err := l.checkSettings(settings); err != nil {
		return err
	}
	// The topic is checked after every failure, which may be every few seconds.
	clock, reported := settings["message.timestamp.type"]
	if reported && l.changed("message.timestamp.type", clock) && clock != "LogAppendTime" {
		l.config.Logger.Warn("the idempotency window depends on the clocks of the writers; set message.timestamp.type=LogAppendTime on the topic", "topic", l.config.Topic)
	}
	if l.changed("replicas", strconv.Itoa(info.Replicas)) && info.Replicas == 1 {
		l.config.Logger.Info("the topic has only one replica: if the broker's disk fails, the log is lost", "topic", l.config.Topic)
	}
	return nil
}

// changed reports whether something about the topic has changed since the last call, so that each
// change is logged once.
func (l *Log) changed(name, value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, known := l.seen[name]
	if l.seen == nil {
		l.seen = map[string]string{}
	}
	l.seen[name] = value
	return !known || was != value
}

// settings returns the settings of the topic that the broker reports.
func (l *Log) settings(admin sarama.ClusterAdmin) (map[string]string, error) {
	described, err := admin.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: l.config.Topic}}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the settings of topic %s: %w: %w", l.config.Topic, ErrUnreachable, err)
	}
	settings := map[string]string{}
	for _, topic := range described {
		for _, e := range topic.Configs {
			settings[e.Name] = e.Value
		}
	}
	return settings, nil
}

// checkSettings returns an [UnfitTopicError] for settings that lose events.
func (l *Log) checkSettings(settings map[string]string) error {
	for _, want := range keepForever {
		if got, reported := settings[want.name]; reported && strings.TrimSpace(got) != want.value {
			return l.unfit(want.name, got, want.value, "events would be lost")
		}
	}
	if maximum, err := strconv.Atoi(settings["max.message.bytes"]); err == nil && maximum < MaxRecordBytes {
		return l.unfit("max.message.bytes", strconv.Itoa(maximum), strconv.Itoa(MaxRecordBytes), "large documents would be refused")
	}
	return nil
}

func (l *Log) unfit(name, got, want, why string) error {
	return &UnfitTopicError{
		Topic:  l.config.Topic,
		Reason: fmt.Sprintf("%s is %q, and %s unless it is %q", name, got, why, want),
		Fix: fmt.Sprintf("Fix it with: kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%s",
			l.config.Brokers[0], l.config.Topic, name, want),
	}
}
