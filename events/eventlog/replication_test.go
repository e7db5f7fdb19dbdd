package eventlog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

func TestReplication(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Replication(deadline(t)); !errors.Is(err, eventlog.ErrNoTopic) {
		t.Errorf("without a topic: got %v, want ErrNoTopic", err)
	}
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Replication(deadline(t)); err != nil || got != (eventlog.Replication{Replicas: 1, InSync: 1}) {
		t.Errorf("got %+v, %v, want one replica, which is in sync", got, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Replication(deadline(t)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

// The counts are those of the broker, even if no replica leads the log.
func TestReplicationOfAnUnderReplicatedTopic(t *testing.T) {
	for name, of := range map[string]struct {
		code int16
		want error
	}{
		"with a leader":        {0, nil},
		"without a leader":     {kerr.LeaderNotAvailable.Code, nil},
		"without a permission": {kerr.TopicAuthorizationFailed.Code, &eventlog.AccessError{}},
	} {
		t.Run(name, func(t *testing.T) {
			l, cluster := onCluster(t, time.Second)
			answer(cluster, of.code, []int32{0, 1, 2}, []int32{0, 2})
			got, err := l.Replication(deadline(t))
			if access := (*eventlog.AccessError)(nil); of.want != nil {
				if !errors.As(err, &access) {
					t.Errorf("got %v, want an AccessError", err)
				}
			} else if err != nil || got != (eventlog.Replication{Replicas: 3, InSync: 2}) {
				t.Errorf("got %+v, %v, want two of three replicas in sync", got, err)
			}
		})
	}
}

// A broker that does not answer is given up in time, and when the caller has no more time.
func TestReplicationWithoutAnswer(t *testing.T) {
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{mute(t)}, Topic: "clusterlite.events", ClientID: "test", AskTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Replication(deadline(t)); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Replication(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// answer makes the brokers give these replicas when they are asked about the topic.
func answer(cluster *kfake.Cluster, code int16, replicas, inSync []int32) {
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := request.(*kmsg.MetadataRequest)
		response := asked.ResponseKind().(*kmsg.MetadataResponse)
		for _, t := range asked.Topics {
			topic, p := kmsg.NewMetadataResponseTopic(), kmsg.NewMetadataResponseTopicPartition()
			topic.Topic = t.Topic
			p.ErrorCode, p.Leader, p.Replicas, p.ISR = code, 0, replicas, inSync
			topic.Partitions = append(topic.Partitions, p)
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
}
