package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Replication counts the brokers that should have the log, and those of them that have all of it.
type Replication struct{ Replicas, InSync int }

// Replication asks a broker for the replication of the log. It costs one request on a connection
// of its own, and needs no permission but DESCRIBE on the topic. The errors are those of
// [Log.Describe]. If no replica leads the log, the counts are those at the time the leader was lost.
func (l *Log) Replication(ctx context.Context) (Replication, error) {
	asking, cancel := context.WithTimeout(ctx, l.config.connectPatience())
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	f, err := l.newFetcher(asking)
	if err != nil {
		return Replication{}, err
	}
	defer f.Close()
	p, err := f.Partition(asking)
	switch {
	case err == nil, errors.Is(err, kerr.LeaderNotAvailable):
		return Replication{len(p.Replicas), len(p.ISR)}, nil
	case l.ctx.Err() != nil:
		return Replication{}, ErrClosed
	case ctx.Err() != nil:
		return Replication{}, ctx.Err()
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return Replication{}, fmt.Errorf("describe topic %s: %w: %w", l.config.Topic, ErrNoTopic, err)
	default:
		return Replication{}, unreachable(f.Explain(err))
	}
}
