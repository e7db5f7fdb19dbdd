package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/clusterlite/clusterlite/events/eventlog/internal/denial"
)

// AccessError is returned if the brokers can be reached, but do not accept this client or
// are not accepted by it: a certificate is not trusted, credentials are wrong, or a
// permission is missing. Retrying does not help until an operator changes a setting.
type AccessError struct {
	// Reason says what happened. Remedy is a full sentence that says what to do about it.
	Reason, Remedy string
	// Err is the cause.
	Err error
}

// Error returns the reason, the cause and the remedy.
func (e *AccessError) Error() string {
	if e.Err == nil {
		return e.Reason + ". " + e.Remedy
	}
	return fmt.Sprintf("%s: %v. %s", e.Reason, e.Err, e.Remedy)
}

// Is makes the error match [ErrUnreachable], for callers to which the cause does not matter.
func (e *AccessError) Is(target error) bool { return target == ErrUnreachable }

// Unwrap returns the cause.
func (e *AccessError) Unwrap() error { return e.Err }

// CheckAccess asks the brokers about the topic until they answer. It returns an [AccessError] as
// soon as they reject this client, or this client rejects them. It returns nil once they answer,
// if they fail for another reason, and when ctx ends or the log is closed.
func (l *Log) CheckAccess(ctx context.Context) error {
	for {
		_, err := l.Describe(ctx)
		if access := (*AccessError)(nil); errors.As(err, &access) {
			return access
		}
		if err == nil || !errors.Is(err, ErrUnreachable) {
			return nil
		}
		select {
		case <-time.After(probeInterval):
		case <-ctx.Done():
			return nil
		case <-l.ctx.Done():
			return nil
		}
	}
}

// unreachable returns an [AccessError] if access was denied, and otherwise an error that wraps
// [ErrUnreachable] and err.
func unreachable(err error) error {
	if access := accessError(err); access != nil {
		return access
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// diagnose returns why no client could be created, as an [AccessError] if possible. Sarama does not
// report some reasons, so another client asks once more.
func (l *Log) diagnose(ctx context.Context, connections *connections, err error) error {
	if l.config.Security.SASL == nil || accessError(err) != nil {
		return connections.Explain(err)
	}
	ctx, cancel := context.WithTimeout(ctx, l.config.connectPatience())
	defer cancel()
	f, failed := l.newFetcher(ctx)
	if failed != nil {
		return err
	}
	defer f.Close()
	_, failed = f.Partition(ctx)
	if access := accessError(failed); access != nil {
		return access
	}
	return connections.Explain(err)
}

// accessError returns err as an [AccessError], or nil if access was not denied.
func accessError(err error) *AccessError {
	if err == nil {
		return nil
	}
	if known := (*AccessError)(nil); errors.As(err, &known) {
		return known
	}
	for _, classify := range []func(error) (reason, remedy string){denial.Certificate, denial.Alert, saslReason, permissionReason} {
		if reason, remedy := classify(err); reason != "" {
			return &AccessError{reason, remedy, err}
		}
	}
	return nil
}

// saslReason recognises why a broker does not accept the credentials.
func saslReason(err error) (reason, remedy string) {
	switch {
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed), errors.Is(err, kerr.SaslAuthenticationFailed):
		return "the broker rejected the credentials",
			"Check CLUSTERLITE_KAFKA_SASL_MECHANISM, CLUSTERLITE_KAFKA_SASL_USERNAME and CLUSTERLITE_KAFKA_SASL_PASSWORD, and that the broker knows this user for this mechanism."
	case errors.Is(err, sarama.ErrUnsupportedSASLMechanism), errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "the broker does not offer this SASL mechanism",
			"Set CLUSTERLITE_KAFKA_SASL_MECHANISM to one that the listener of the broker enables."
	case errors.Is(err, sarama.ErrIllegalSASLState), errors.Is(err, kerr.IllegalSaslState):
		return "the listener of the broker does not take credentials",
			"Use the port of a SASL listener in CLUSTERLITE_KAFKA_BROKERS, or remove CLUSTERLITE_KAFKA_SASL_MECHANISM."
	}
	return "", ""
}

// permissionReason recognises that the credentials are correct but a permission is missing.
func permissionReason(err error) (reason, remedy string) {
	switch {
	case errors.Is(err, sarama.ErrTopicAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed):
		return "the user may not access the topic",
			"Allow DESCRIBE, DESCRIBE_CONFIGS and READ on the topic, and WRITE for a node that appends."
	case errors.Is(err, sarama.ErrGroupAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed):
		return "the user may not use the consumer groups of nodes",
			"Allow READ and DESCRIBE on the groups with the prefix " + groupPrefix + "."
	case errors.Is(err, sarama.ErrClusterAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return "the user lacks a permission on the Kafka cluster",
			"Allow WRITE on the topic for appends, and DESCRIBE on the cluster for the tool."
	}
	return "", ""
}
