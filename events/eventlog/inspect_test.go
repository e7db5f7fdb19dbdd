package eventlog_test

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// produce writes records unchanged. They keep their timestamps if the topic uses CreateTime.
func produce(t testing.TB, addr string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(deadline(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestPositionAt(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	createTopic(t, b.Addr(), 1, map[string]string{"message.timestamp.type": "CreateTime", "retention.ms": "-1", "max.message.bytes": "8388608"})
	l := open(t, b.Addr())
	start := time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC)
	if p, err := l.PositionAt(deadline(t), start); err != nil || p != 0 {
		t.Errorf("an empty log: got %d, %v, want 0", p, err)
	}
	for minute := range 5 {
		produce(t, b.Addr(), &kgo.Record{Value: []byte("x"), Timestamp: start.Add(time.Duration(minute) * time.Minute)})
	}
	for at, want := range map[time.Duration]events.Position{
		-time.Hour: 0, 0: 0, time.Millisecond: 1, time.Minute: 1, 4 * time.Minute: 4, 4*time.Minute + time.Millisecond: 5, time.Hour: 5,
	} {
		if p, err := l.PositionAt(deadline(t), start.Add(at)); err != nil || p != want {
			t.Errorf("at %s: got %d, %v, want %d", at, p, err, want)
		}
	}
	if p, err := l.PositionAt(deadline(t), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil || p != 0 {
		t.Errorf("at the year 1: got %d, %v, want 0", p, err)
	}
}

func TestReadOneRecord(t *testing.T) {
	l, b := prepared(t)
	e := event(7)
	if _, err := l.Append(deadline(t), event(0), e); err != nil {
		t.Fatal(err)
	}
	produce(t, b.Addr(), &kgo.Record{Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}}})
	got, err := l.Read(deadline(t), 1)
	if err != nil || got.Offset != 1 || got.Timestamp.IsZero() || got.Content != events.HasEvent || string(got.Key) != e.Key() || string(got.Value) != string(e.Document) {
		t.Errorf("got %+v, %v, want the event at offset 1", got, err)
	}
	if diff := cmp.Diff(e, got.Event); diff != "" || got.Headers[0] != (eventlog.RawHeader{Name: "ce_specversion", Value: "1.0"}) {
		t.Errorf("got the headers %v, want ce_specversion first; event (-want +got):\n%s", got.Headers, diff)
	}
	foreign, err := l.Read(deadline(t), 2)
	if err != nil || foreign.Content != events.Malformed || len(foreign.Headers) != 2 || foreign.Headers[1].Value != "2" {
		t.Errorf("got %+v, %v, want a malformed record with both headers", foreign, err)
	}
	for _, p := range []events.Position{-1, 3, 99} {
		var gone *eventlog.OffsetGoneError
		if _, err := l.Read(deadline(t), p); !errors.As(err, &gone) || gone.Next != p {
			t.Errorf("at %d: got %v, want an OffsetGoneError", p, err)
		}
	}
}

func TestScan(t *testing.T) {
	l, _ := prepared(t)
	if _, err := l.Append(deadline(t), event(0), event(1), event(2), event(3)); err != nil {
		t.Fatal(err)
	}
	scan := func(from, to events.Position, stopAt int64) (offsets []int64, err error) {
		err = l.Scan(deadline(t), from, to, func(r events.Record) error {
			if offsets = append(offsets, r.Offset); r.Offset == stopAt {
				return io.EOF
			}
			return nil
		})
		return offsets, err
	}
	for _, c := range []struct {
		from, to events.Position
		want     []int64
	}{{0, 4, []int64{0, 1, 2, 3}}, {1, 3, []int64{1, 2}}, {2, 2, nil}, {3, 1, nil}} {
		if got, err := scan(c.from, c.to, -1); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("from %d to %d: got %v, %v, want %v", c.from, c.to, got, err, c.want)
		}
	}
	if got, err := scan(0, 4, 1); !errors.Is(err, io.EOF) || len(got) != 2 {
		t.Errorf("stopped at offset 1: got %v, %v, want 2 offsets and io.EOF", got, err)
	}
	var gone *eventlog.OffsetGoneError
	if _, err := scan(9, 10, -1); !errors.As(err, &gone) {
		t.Errorf("beyond the end: got %v, want an OffsetGoneError", err)
	}
}
