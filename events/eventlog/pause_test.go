package eventlog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// TestARequestForTheEndEndsAPause lets records accumulate in the log during a pause that would
// otherwise last an hour.
func TestARequestForTheEndEndsAPause(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events", ClientID: "test", FetchPause: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	s, err := l.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := l.Append(deadline(t), event(0)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Take(deadline(t), 10); err != nil || len(got) != 1 {
		t.Fatalf("got %d records, %v, before any pause, want one", len(got), err)
	}
	for _, ask := range []struct {
		name string
		call func(context.Context) (events.Position, error)
	}{{"End", l.End}, {"Barrier", l.Barrier}} { // the barrier comes last, because it is a record
		for range 2 {
			if _, err := l.Append(deadline(t), event(1)); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if got, err := s.Take(short, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %d records, %v, during the pause, want DeadlineExceeded", len(got), err)
		}
		cancel()
		if _, err := ask.call(deadline(t)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Take(deadline(t), 10); err != nil || len(got) < 2 {
			t.Errorf("got %d records, %v, after a call of %s, want both", len(got), err, ask.name)
		}
	}
}
