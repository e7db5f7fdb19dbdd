package subcommand

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// askTimeout is longer than the timeout of a service, because no other request waits for a
// subcommand.
const askTimeout = 5 * time.Second

// OpenLog opens the log of the settings. Warnings go to the standard error.
func OpenLog(kafka settings.Kafka, out Streams) (*eventlog.Log, error) {
	logger := slog.New(slog.NewTextHandler(out.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	security, err := kafka.Security(func(err error) { logger.Warn("a file of the Kafka settings can't be used", "error", err) })
	if err != nil {
		return nil, err
	}
	return eventlog.Open(eventlog.Config{
		Brokers: kafka.Brokers, Topic: kafka.Topic.Topic, Security: security,
		ClientID: "clusterlite.tool", Source: "/clusterlite/tool", AskTimeout: askTimeout,
		Logger: logger,
	})
}

// ErrNoTopic matches every missing topic, regardless of its name.
var ErrNoTopic = errors.New("the topic does not exist")

type missingTopicError struct{ topic string }

func (e *missingTopicError) Error() string {
	return fmt.Sprintf("topic %s does not exist: set --kafka-topic or --kafka-brokers", e.topic)
}

func (e *missingTopicError) Is(target error) bool { return target == ErrNoTopic }

// DescribeLog describes an existing log. Inspecting a log must not create its topic.
func DescribeLog(ctx context.Context, log *eventlog.Log) (eventlog.Info, error) {
	info, err := log.Describe(ctx)
	if errors.Is(err, eventlog.ErrNoTopic) {
		return info, &missingTopicError{log.Topic()}
	}
	return info, err
}
