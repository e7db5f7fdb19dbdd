package eventlog_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// onCluster opens a log on a broker whose answers a test can change.
func onCluster(t testing.TB, askTimeout time.Duration) (*eventlog.Log, *kfake.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	l, err := eventlog.Open(eventlog.Config{Brokers: cluster.ListenAddrs(), Topic: "clusterlite.events", ClientID: "test", Source: "/test", AskTimeout: askTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return l, cluster
}

// Callers that arrive while a barrier is in progress all share the next one. They never get the
// one in progress, because a record that they saw acknowledged may come after it.
func TestABarrierServesTheCallersBeforeIt(t *testing.T) {
	l, cluster := onCluster(t, time.Minute)
	sent, release := make(chan struct{}), make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.DropControl()
		close(sent)
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	first := make(chan events.Position, 1)
	go func() {
		p, err := l.Barrier(deadline(t))
		if err != nil {
			t.Error(err)
		}
		first <- p
	}()
	<-sent
	const callers = 100
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if p, err := l.Barrier(deadline(t)); err != nil || p != 2 {
				t.Errorf("got %d, %v, want the second barrier at 2", p, err)
			}
		})
	}
	eventually(t, func() bool { return eventlog.WaitForBarrier(l) == callers })
	close(release)
	if p := <-first; p != 1 {
		t.Errorf("got %d from the first barrier, want 1", p)
	}
	wg.Wait()
	if end, err := l.End(deadline(t)); err != nil || end != 2 {
		t.Errorf("got the end of the log %d, %v, want 2 for the barriers of %d callers", end, err, callers+1)
	}
	if appended, failed := l.Barriers(); appended != 2 || failed != 0 {
		t.Errorf("got %d barriers appended and %d failed, want 2 and 0", appended, failed)
	}
}

// Records acknowledged before the call precede the barrier, and callers share barriers.
func TestBarriersUnderWrites(t *testing.T) {
	l, _ := prepared(t)
	const callers, each = 32, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range each {
				wrote, err := l.Append(deadline(t), event(i))
				if err != nil {
					t.Error(err)
					return
				}
				if p, err := l.Barrier(deadline(t)); err != nil || p <= wrote {
					t.Errorf("got the barrier at %d, %v, want it after the append at %d", p, err, wrote)
				}
			}
		})
	}
	wg.Wait()
	end, err := l.End(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	appended, _ := l.Barriers()
	if int64(end) != appended+callers*each {
		t.Errorf("got the end of the log %d, want %d with %d barriers", end, appended+callers*each, appended)
	}
	if appended > callers*each/2 {
		t.Errorf("got %d barriers for %d calls, want at most half as many", appended, callers*each)
	}
}

// A deposed leader still reports the end of the log, but accepts no append.
func TestADeposedLeaderGivesNoBarrier(t *testing.T) {
	l, cluster := onCluster(t, 250*time.Millisecond)
	if _, err := l.Append(deadline(t), event(0)); err != nil {
		t.Fatal(err)
	}
	var rejects, hangs atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		switch {
		case rejects.Load():
			return refused(r.(*kmsg.ProduceRequest)), nil, true
		case hangs.Load():
			return nil, nil, true // the request is never answered
		}
		return nil, nil, false
	})
	for name, behaviour := range map[string]*atomic.Bool{"it rejects": &rejects, "it never confirms": &hangs} {
		t.Run(name, func(t *testing.T) {
			behaviour.Store(true)
			if _, err := l.Barrier(deadline(t)); !errors.Is(err, eventlog.ErrUnreachable) {
				t.Errorf("got %v, want ErrUnreachable", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := l.Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a caller whose deadline passed: got %v, want DeadlineExceeded", err)
			}
			if _, err := l.End(deadline(t)); err != nil || !l.Reachable() {
				t.Errorf("got %v from End, want no error and a reachable broker", err)
			}
			behaviour.Store(false)
			eventually(t, func() bool {
				_, err := l.Barrier(deadline(t))
				return err == nil
			})
		})
	}
}

func refused(r *kmsg.ProduceRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range r.Topics {
		answered := kmsg.NewProduceResponseTopic()
		answered.Topic, answered.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, kerr.NotLeaderForPartition.Code
			answered.Partitions = append(answered.Partitions, partition)
		}
		response.Topics = append(response.Topics, answered)
	}
	return response
}

// BarrierWaited is called for each call that waited for a barrier, including one that gave up. A
// call that is rejected immediately has not waited.
func TestWaitsForBarriersAreReported(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var reported []time.Duration
	l, err := eventlog.Open(eventlog.Config{
		Brokers: cluster.ListenAddrs(), Topic: "clusterlite.events", ClientID: "test", Source: "/test", AskTimeout: time.Minute,
		BarrierWaited: func(waited time.Duration) { reported = append(reported, waited) }, // called in this goroutine
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Barrier(deadline(t)); err != nil || len(reported) != 1 || reported[0] <= 0 {
		t.Errorf("got the waits %v, %v, want one", reported, err)
	}
	hung := make(chan struct{})
	defer close(hung)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { <-hung })
		return nil, nil, false
	})
	const patience = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(deadline(t), patience)
	defer cancel()
	if _, err := l.Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) || len(reported) != 2 || reported[1] < patience/2 {
		t.Errorf("got the waits %v, %v, want a second of about %s and DeadlineExceeded", reported, err, patience)
	}
}
