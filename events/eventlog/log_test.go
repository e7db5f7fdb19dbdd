package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

func TestMain(m *testing.M) {
	// Sarama's metrics library keeps one for the life of the process.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func startBroker(t testing.TB, dir, addr string) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(dir, addr, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func open(t testing.TB, addr string) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{addr}, Topic: "clusterlite.events", ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func prepared(t testing.TB) (*eventlog.Log, *embedded.Broker) {
	t.Helper()
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	return l, b
}

func event(n int) events.Event {
	return events.Event{
		ID: uuid.NewString(), Source: "/test", Collection: "users", EntityID: uuid.NewString(), Kind: events.Created, Version: 1,
		Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Document: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

func take(t testing.TB, s *eventlog.Subscription, n int) []events.Record {
	t.Helper()
	var all []events.Record
	for len(all) < n {
		batch, err := s.Take(deadline(t), 7)
		if err != nil {
			t.Fatalf("after %d records: %v", len(all), err)
		}
		if len(batch) == 0 || len(batch) > 7 {
			t.Fatalf("a batch of %d", len(batch))
		}
		all = append(all, batch...)
	}
	return all
}

func subscribe(t testing.TB, l *eventlog.Log, from events.Position) *eventlog.Subscription {
	t.Helper()
	s, err := l.Subscribe(from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAppendAndRead(t *testing.T) {
	l, _ := prepared(t)
	ctx := deadline(t)
	var written []events.Event
	for i := range 10 {
		written = append(written, event(i))
	}
	if p, err := l.Append(ctx, written[0]); err != nil || p != 1 {
		t.Fatalf("got %d, %v", p, err)
	}
	if p, err := l.Append(ctx, written[1:]...); err != nil || p != 10 {
		t.Fatalf("got %d, %v", p, err)
	}
	if p, err := l.Barrier(ctx); err != nil || p != 11 {
		t.Fatalf("got %d, %v", p, err)
	}
	if end, err := l.End(ctx); err != nil || end != 11 {
		t.Fatalf("got %d, %v", end, err)
	}
	for _, from := range []events.Position{0, 1, 7, 10} {
		records := take(t, subscribe(t, l, from), 11-int(from))
		for i, r := range records {
			offset := int64(from) + int64(i)
			if r.Offset != offset || r.Timestamp.IsZero() {
				t.Fatalf("from %d: record %d is %+v", from, i, r)
			}
			if offset < 10 && (r.Content != events.HasEvent || r.Event.ID != written[offset].ID) {
				t.Fatalf("from %d: record %d is %+v", from, i, r)
			}
		}
		if last := records[len(records)-1]; last.Content != events.Barrier {
			t.Fatalf("from %d: the last is %+v", from, last)
		}
	}
}

func TestReadGoesOnAfterABrokerRestart(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	s := subscribe(t, l, 0)
	if _, err := l.Append(deadline(t), event(0), event(1)); err != nil {
		t.Fatal(err)
	}
	take(t, s, 2)
	b.Close()
	eventually(t, func() bool {
		_, err := l.End(deadline(t))
		return errors.Is(err, eventlog.ErrUnreachable) && !l.Reachable()
	})
	if _, err := l.Append(deadline(t), event(2)); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Fatalf("append without a broker: %v", err)
	}
	startBroker(t, dir, b.Addr())
	eventually(t, l.Reachable)
	p, err := l.Append(deadline(t), event(3))
	if err != nil || p != 3 {
		t.Fatalf("got %d, %v", p, err)
	}
	if r := take(t, s, 1)[0]; r.Offset != 2 {
		t.Fatalf("got %+v", r)
	}
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	ctx := deadline(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("it did not come about")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestEndServesManyWithFewQuestions(t *testing.T) {
	l, _ := prepared(t)
	for want := events.Position(1); want <= 20; want++ {
		if _, err := l.Append(deadline(t), event(0)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if end, err := l.End(deadline(t)); err != nil || end != want {
					t.Errorf("got %d, %v, want %d: an acknowledged event is missing", end, err, want)
				}
			})
		}
		wg.Wait()
	}
}

func TestConcurrentAppendsGetPositionsOfTheirOwn(t *testing.T) {
	l, _ := prepared(t)
	const writers, each = 16, 20
	var mu sync.Mutex
	seen := map[events.Position]bool{}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				p, err := l.Append(deadline(t), event(i))
				mu.Lock()
				if err != nil || seen[p] {
					t.Errorf("got %d, %v, seen before: %v", p, err, seen[p])
				}
				seen[p] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != writers*each {
		t.Errorf("%d positions", len(seen))
	}
}

func TestForeignRecordsAreMalformed(t *testing.T) {
	l, b := prepared(t)
	foreign, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	records := []*kgo.Record{
		{Value: []byte("hello")}, {}, {Key: []byte{0xff}, Headers: []kgo.RecordHeader{{Key: "", Value: nil}, {Key: "ce_type", Value: []byte{0}}}},
	}
	if err := foreign.ProduceSync(deadline(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(deadline(t), event(0)); err != nil {
		t.Fatal(err)
	}
	got := take(t, subscribe(t, l, 0), 4)
	for i, r := range got {
		if want := i < 3; (r.Content == events.Malformed) != want {
			t.Errorf("record %d is %+v", i, r)
		}
	}
}

func TestGoneRecords(t *testing.T) {
	l, b := prepared(t)
	if _, err := l.Append(deadline(t), event(0), event(1), event(2)); err != nil {
		t.Fatal(err)
	}
	t.Run("behind the start", func(t *testing.T) {
		deleteRecords(t, b.Addr(), 2)
		var gone *eventlog.OffsetGoneError
		if _, err := subscribe(t, l, 1).Take(deadline(t), 1); !errors.As(err, &gone) || gone.Next != 1 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("beyond the end", func(t *testing.T) {
		var gone *eventlog.OffsetGoneError
		if _, err := subscribe(t, l, 9).Take(deadline(t), 1); !errors.As(err, &gone) || gone.Next != 9 {
			t.Errorf("got %v", err)
		}
	})
	info, err := l.Describe(deadline(t))
	if err != nil || info.Start != 2 || info.End != 3 || info.ID == "" {
		t.Errorf("got %+v, %v", info, err)
	}
}

func deleteRecords(t testing.TB, addr string, before int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Offset = before
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic, topic.Partitions = "clusterlite.events", []kmsg.DeleteRecordsRequestTopicPartition{partition}
	request := kmsg.NewDeleteRecordsRequest()
	request.Topics = []kmsg.DeleteRecordsRequestTopic{topic}
	if _, err := request.RequestWith(deadline(t), client); err != nil {
		t.Fatal(err)
	}
}

func TestUnfitTopicsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		partitions int32
		settings   map[string]string
		mend       string
	}{
		"partitions":     {3, nil, "--delete"},
		"compaction":     {1, map[string]string{"cleanup.policy": "compact"}, "cleanup.policy=delete"},
		"short memory":   {1, map[string]string{"retention.ms": "1000"}, "retention.ms=-1"},
		"small memory":   {1, map[string]string{"retention.ms": "-1", "retention.bytes": "1000"}, "retention.bytes=-1"},
		"small messages": {1, map[string]string{"retention.ms": "-1"}, "max.message.bytes="},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, t.TempDir(), "127.0.0.1:0")
			createTopic(t, b.Addr(), c.partitions, c.settings)
			l := open(t, b.Addr())
			_, err := l.Prepare(deadline(t))
			var unfit *eventlog.UnfitTopicError
			if !errors.As(err, &unfit) || !strings.Contains(unfit.Mend, c.mend) {
				t.Errorf("got %v", err)
			}
			if h, err := l.Health(deadline(t)); err != nil || !errors.As(h.Unfit, &unfit) || !strings.Contains(unfit.Mend, c.mend) {
				t.Errorf("its health is %+v, %v", h, err)
			}
		})
	}
}

func createTopic(t testing.TB, addr string, partitions int32, settings map[string]string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "clusterlite.events", partitions, 1
	for name, value := range settings {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	request := kmsg.NewCreateTopicsRequest()
	request.Topics = []kmsg.CreateTopicsRequestTopic{topic}
	response, err := request.RequestWith(deadline(t), client)
	if err != nil || response.Topics[0].ErrorCode != 0 {
		t.Fatalf("make a topic: %v, %+v", err, response)
	}
}

func TestLargeEvents(t *testing.T) {
	l, _ := prepared(t)
	e := event(0)
	e.Document = []byte(`{"a":"` + strings.Repeat("x", 3<<20) + `"}`)
	if _, err := l.Append(deadline(t), e); err != nil {
		t.Fatalf("3 MiB: %v", err)
	}
	e = event(1)
	e.Document = []byte(`{"a":"` + strings.Repeat("x", 9<<20) + `"}`)
	if _, err := l.Append(deadline(t), e); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Fatalf("9 MiB: %v", err)
	}
	if r := take(t, subscribe(t, l, 0), 1)[0]; len(r.Event.Document) != 3<<20+8 {
		t.Errorf("got %d bytes", len(r.Event.Document))
	}
}

// A broker that takes the connection and never answers.
func TestAHangingBroker(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hole.Close() }()
	l := open(t, hole.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.End(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if _, err := l.Prepare(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	eventually(t, func() bool { return !l.Reachable() })
}

func TestAfterClose(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	s := subscribe(t, l, 0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(deadline(t), event(0)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if _, err := l.End(deadline(t)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("end: %v", err)
	}
	if _, err := l.Barrier(deadline(t)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("barrier: %v", err)
	}
	if _, err := l.Describe(deadline(t)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("describe: %v", err)
	}
	if _, err := s.Take(deadline(t), 1); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("take: %v", err)
	}
}

// A subscription can be closed while it still connects. (Watermill's subscriber can't be:
// the race detector sees it.)
func TestCloseWhileItConnects(t *testing.T) {
	l, _ := prepared(t)
	for range 50 {
		s, err := l.Subscribe(0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.Take(deadline(t), 1); !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("take: %v", err)
		}
	}
}
