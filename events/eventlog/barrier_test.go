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

// onCluster opens a log on a broker that a test can interfere with.
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

// Callers that come while a barrier is under way get the next one, all the same one, and
// never that one: what they saw acknowledged may lie behind it.
func TestABarrierServesThoseThatCameBeforeIt(t *testing.T) {
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
				t.Errorf("got %d, %v, want the second barrier", p, err)
			}
		})
	}
	eventually(t, func() bool { return eventlog.WaitForBarrier(l) == callers })
	close(release)
	if p := <-first; p != 1 {
		t.Errorf("the first barrier gave %d", p)
	}
	wg.Wait()
	if end, err := l.End(deadline(t)); err != nil || end != 2 {
		t.Errorf("the log ends at %d, %v: %d callers need 2 barriers", end, err, callers+1)
	}
	if appended, failed := l.Barriers(); appended != 2 || failed != 0 {
		t.Errorf("counted %d appended and %d failed", appended, failed)
	}
}

// What was acknowledged before the call lies before the barrier, and callers share it.
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
					t.Errorf("got %d, %v after an append that gave %d", p, err, wrote)
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
		t.Errorf("the log ends at %d with %d barriers", end, appended)
	}
	if appended > callers*each/2 {
		t.Errorf("%d barriers for %d calls", appended, callers*each)
	}
}

// A deposed leader still tells where the log ends, and takes no append.
func TestNoBarrierFromALeaderThatWasDeposed(t *testing.T) {
	l, cluster := onCluster(t, 250*time.Millisecond)
	if _, err := l.Append(deadline(t), event(0)); err != nil {
		t.Fatal(err)
	}
	var refuses, hangs atomic.Bool
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		switch {
		case refuses.Load():
			return refused(r.(*kmsg.ProduceRequest)), nil, true
		case hangs.Load():
			return nil, nil, true // no answer ever
		}
		return nil, nil, false
	})
	for name, behaviour := range map[string]*atomic.Bool{"it refuses": &refuses, "it never confirms": &hangs} {
		t.Run(name, func(t *testing.T) {
			behaviour.Store(true)
			if _, err := l.Barrier(deadline(t)); !errors.Is(err, eventlog.ErrUnreachable) {
				t.Errorf("got %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := l.Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a caller that can wait no longer got %v", err)
			}
			if _, err := l.End(deadline(t)); err != nil || !l.Reachable() {
				t.Errorf("the end can't be asked: %v", err)
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

// Each call that waited for a barrier is told of, one that gave up too; one that was
// refused at once did not wait.
func TestWaitsForBarriersAreTold(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var told []time.Duration
	l, err := eventlog.Open(eventlog.Config{
		Brokers: cluster.ListenAddrs(), Topic: "clusterlite.events", ClientID: "test", Source: "/test", AskTimeout: time.Minute,
		BarrierWaited: func(waited time.Duration) { told = append(told, waited) }, // by this goroutine
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Barrier(deadline(t)); err != nil || len(told) != 1 || told[0] <= 0 {
		t.Errorf("told of %v, %v", told, err)
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
	if _, err := l.Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) || len(told) != 2 || told[1] < patience/2 {
		t.Errorf("told of %v, %v", told, err)
	}
}
