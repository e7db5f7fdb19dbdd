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
	// Sarama's metrics library keeps a goroutine for the life of the process.
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
	if inProcess {
		running[b.Addr()] = b
	}
	return b
}

func open(t testing.TB, addr string) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(config(addr))
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
			t.Fatalf("got %v after %d records, want no error", err, len(all))
		}
		if len(batch) == 0 || len(batch) > 7 {
			t.Fatalf("got a batch of %d records, want 1 to 7", len(batch))
		}
		all = append(all, batch...)
	}
	return all
}

func subscribe(t testing.TB, l *eventlog.Log, from events.Position) *eventlog.Subscription {
	t.Helper()
	return subscribeAfter(t, l, from, "")
}

func subscribeAfter(t testing.TB, l *eventlog.Log, from events.Position, last string) *eventlog.Subscription {
	t.Helper()
	s, err := l.Subscribe(from, last)
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
		t.Fatalf("got %d, %v, want 1", p, err)
	}
	if p, err := l.Append(ctx, written[1:]...); err != nil || p != 10 {
		t.Fatalf("got %d, %v, want 10", p, err)
	}
	if p, err := l.Barrier(ctx); err != nil || p != 11 {
		t.Fatalf("got the barrier at %d, %v, want 11", p, err)
	}
	if end, err := l.End(ctx); err != nil || end != 11 {
		t.Fatalf("got the end %d, %v, want 11", end, err)
	}
	for _, from := range []events.Position{0, 1, 7, 10} {
		records := take(t, subscribe(t, l, from), 11-int(from))
		for i, r := range records {
			offset := int64(from) + int64(i)
			if r.Offset != offset || r.Timestamp.IsZero() {
				t.Fatalf("from %d: got the record %+v, want one at offset %d with a timestamp", from, r, offset)
			}
			if offset < 10 && (r.Content != events.HasEvent || r.Event.ID != written[offset].ID) {
				t.Fatalf("from %d: got the record %+v, want the event %s", from, r, written[offset].ID)
			}
		}
		if last := records[len(records)-1]; last.Content != events.Barrier {
			t.Fatalf("from %d: got the last record %+v, want the barrier", from, last)
		}
	}
}

func TestReadingContinuesAfterABrokerRestart(t *testing.T) {
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
		t.Fatalf("an append without a broker: got %v, want ErrUnreachable", err)
	}
	startBroker(t, dir, b.Addr())
	eventually(t, l.Reachable)
	p, err := l.Append(deadline(t), event(3))
	if err != nil || p != 3 {
		t.Fatalf("got %d, %v, want 3", p, err)
	}
	if r := take(t, s, 1)[0]; r.Offset != 2 {
		t.Fatalf("got %+v, want the record at offset 2", r)
	}
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	ctx := deadline(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("got no success within the deadline, want one")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestEndServesManyCallersWithFewRequests(t *testing.T) {
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

func TestConcurrentAppendsGetDistinctPositions(t *testing.T) {
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
					t.Errorf("got %d, %v, seen before: %v, want a new position", p, err, seen[p])
				}
				seen[p] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != writers*each {
		t.Errorf("got %d positions, want %d", len(seen), writers*each)
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
			t.Errorf("record %d: got %+v, want it malformed: %v", i, r, want)
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
			t.Errorf("got %v, want an OffsetGoneError at 1", err)
		}
	})
	t.Run("beyond the end", func(t *testing.T) {
		var gone *eventlog.OffsetGoneError
		if _, err := subscribe(t, l, 9).Take(deadline(t), 1); !errors.As(err, &gone) || gone.Next != 9 {
			t.Errorf("got %v, want an OffsetGoneError at 9", err)
		}
	})
	info, err := l.Describe(deadline(t))
	if err != nil || info.Start != 2 || info.End != 3 || info.ID == "" {
		t.Errorf("got %+v, %v, want the log from 2 to 3 with an id", info, err)
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
			if !errors.As(err, &unfit) || !strings.Contains(unfit.Fix, c.mend) {
				t.Errorf("got %v, want an UnfitTopicError that mentions %q", err, c.mend)
			}
			if h, err := l.Health(deadline(t)); err != nil || !errors.As(h.Unfit, &unfit) || !strings.Contains(unfit.Fix, c.mend) {
				t.Errorf("got the health %+v, %v, want the same UnfitTopicError", h, err)
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
		t.Fatalf("got %v, %+v, want the topic created", err, response)
	}
}

func TestLargeEvents(t *testing.T) {
	l, _ := prepared(t)
	e := event(0)
	e.Document = []byte(`{"a":"` + strings.Repeat("x", 3<<20) + `"}`)
	if _, err := l.Append(deadline(t), e); err != nil {
		t.Fatalf("3 MiB: got %v, want no error", err)
	}
	e = event(1)
	e.Document = []byte(`{"a":"` + strings.Repeat("x", 9<<20) + `"}`)
	if _, err := l.Append(deadline(t), e); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Fatalf("9 MiB: got %v, want ErrTooLarge", err)
	}
	if r := take(t, subscribe(t, l, 0), 1)[0]; len(r.Event.Document) != 3<<20+8 {
		t.Errorf("got %d bytes, want %d", len(r.Event.Document), 3<<20+8)
	}
}

// A hanging broker accepts the connection and never answers.
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
		t.Errorf("got %v, want DeadlineExceeded or ErrUnreachable", err)
	}
	if _, err := l.Prepare(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
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
		t.Errorf("append: got %v, want ErrClosed", err)
	}
	if _, err := l.End(deadline(t)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("end: got %v, want ErrClosed", err)
	}
	if _, err := l.Barrier(deadline(t)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("barrier: got %v, want ErrClosed", err)
	}
	if _, err := l.Describe(deadline(t)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("describe: got %v, want ErrClosed", err)
	}
	if _, err := s.Take(deadline(t), 1); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("take: got %v, want ErrClosed", err)
	}
}

// A subscription can be closed while it still connects. Watermill's subscriber can't: the race
// detector reports a race.
func TestCloseWhileItConnects(t *testing.T) {
	l, _ := prepared(t)
	for range 50 {
		s, err := l.Subscribe(0, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.Take(deadline(t), 1); !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("take: got %v, want ErrClosed", err)
		}
	}
}
