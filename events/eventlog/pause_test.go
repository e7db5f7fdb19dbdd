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
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events", ClientID: "test", FetchPause: eventlog.Pause{Min: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	s, err := l.Subscribe(0, "")
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

// TestAnOwnAppendEndsAPause compares appends of this process with those of another one.
func TestAnOwnAppendEndsAPause(t *testing.T) {
	b := startBroker(t, t.TempDir(), "127.0.0.1:0")
	open := func(p eventlog.Pause) *eventlog.Log {
		l, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events", ClientID: "test", FetchPause: p})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		if _, err := l.Prepare(deadline(t)); err != nil {
			t.Fatal(err)
		}
		return l
	}
	own, other := open(eventlog.Pause{Min: time.Hour, UntilAppended: true}), open(eventlog.Pause{})
	s, err := own.Subscribe(0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	appendTo := func(l *eventlog.Log) {
		if _, err := l.Append(deadline(t), event(0)); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(other)
	if got, err := s.Take(deadline(t), 10); err != nil || len(got) != 1 {
		t.Fatalf("got %d records, %v, before any pause, want one", len(got), err)
	}
	for range 3 {
		appendTo(other)
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if got, err := s.Take(short, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %d records, %v, during the pause, want DeadlineExceeded", len(got), err)
		}
		cancel()
		appendTo(own)
		if got, err := s.Take(deadline(t), 10); err != nil || len(got) != 2 {
			t.Fatalf("got %d records, %v, after an append of this process, want both", len(got), err)
		}
	}
}

func TestAPauseGrowsWithTheRecordsOfAFetch(t *testing.T) {
	const ms = time.Millisecond
	growing := eventlog.Pause{Min: 2 * ms, Max: 20 * ms, OfRecord: ms / 2}
	for _, test := range []struct {
		pause   eventlog.Pause
		records int
		want    time.Duration
	}{
		{growing, 1, 2 * ms},
		{growing, 4, 2 * ms},
		{growing, 10, 5 * ms},
		{growing, 100, 20 * ms},
		{growing, 255, 20 * ms},
		{growing, 256, 0}, // the subscription is behind
		{eventlog.Pause{}, 100, 0},
		{eventlog.Pause{Min: ms}, 100, ms},
		{eventlog.Pause{Max: 20 * ms, OfRecord: ms}, 4, 0},
		{eventlog.Pause{Max: 20 * ms, OfRecord: ms}, 5, 5 * ms},
	} {
		if got := eventlog.PauseAfter(test.pause, test.records); got != test.want {
			t.Errorf("got %s after %d records with %+v, want %s", got, test.records, test.pause, test.want)
		}
	}
}
