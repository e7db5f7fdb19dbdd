package eventlog_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

// mute starts a broker that hangs: it accepts connections and never answers.
func mute(t testing.TB) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}

// bounded fails if f takes longer than any wait in these tests may. Without a bound on the whole
// call, some calls take half a minute, which is the sum of the timeouts of their steps.
func bounded(t *testing.T, what string, f func()) {
	t.Helper()
	began, done := time.Now(), make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		t.Logf("%s took %s", what, time.Since(began).Round(time.Millisecond))
	case <-time.After(20 * time.Second):
		t.Fatalf("got no end of %s within 20 seconds, want one", what)
	}
}

func TestNothingWaitsForABrokerThatHangs(t *testing.T) {
	for name, call := range map[string]func(context.Context, *eventlog.Log) error{
		"end":     func(ctx context.Context, l *eventlog.Log) error { _, err := l.End(ctx); return err },
		"barrier": func(ctx context.Context, l *eventlog.Log) error { _, err := l.Barrier(ctx); return err },
		"append":  func(ctx context.Context, l *eventlog.Log) error { _, err := l.Append(ctx, event(1)); return err },
		"append until known": func(ctx context.Context, l *eventlog.Log) error {
			_, err := l.AppendUntil(ctx, make(chan struct{}), event(1))
			return err
		},
		"announce": func(ctx context.Context, l *eventlog.Log) error {
			return l.Announce(ctx, eventlog.Announcement{Node: "n"})
		},
		"announcements": func(ctx context.Context, l *eventlog.Log) error {
			_, err := l.Announcements(ctx)
			return err
		},
		"prepare":  func(ctx context.Context, l *eventlog.Log) error { _, err := l.Prepare(ctx); return err },
		"describe": func(ctx context.Context, l *eventlog.Log) error { _, err := l.Describe(ctx); return err },
		"health":   func(ctx context.Context, l *eventlog.Log) error { _, err := l.Health(ctx); return err },
		"replication": func(ctx context.Context, l *eventlog.Log) error {
			_, err := l.Replication(ctx)
			return err
		},
		"read": func(ctx context.Context, l *eventlog.Log) error { _, err := l.Read(ctx, 0); return err },
		"take": func(ctx context.Context, l *eventlog.Log) error {
			s, err := l.Subscribe(0, "")
			if err != nil {
				return err
			}
			defer func() { bounded(t, "close the subscription", func() { _ = s.Close() }) }()
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err = s.Take(ctx, 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := eventlog.Open(eventlog.Config{Brokers: []string{mute(t)}, Topic: "clusterlite.events", ClientID: "test"})
			if err != nil {
				t.Fatal(err)
			}
			bounded(t, name, func() {
				if err := call(t.Context(), l); err == nil {
					t.Error("got no error, want one")
				}
			})
			bounded(t, "close the log", func() { _ = l.Close() })

			// The same holds if the log is closed during the call.
			if l, err = eventlog.Open(eventlog.Config{Brokers: []string{mute(t)}, Topic: "clusterlite.events", ClientID: "test"}); err != nil {
				t.Fatal(err)
			}
			asked := make(chan error, 1)
			go func() { asked <- call(t.Context(), l) }()
			bounded(t, "close the log meanwhile", func() { _ = l.Close() })
			bounded(t, name+" on a closed log", func() { <-asked })
		})
	}
}
