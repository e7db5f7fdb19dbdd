package eventlog_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// forked returns two brokers whose logs have the same first record. The second record of one is another one in the
// other, which has two more records.
func forked(t *testing.T) (one, other *embedded.Broker) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "one")
	before := startBroker(t, dir, "127.0.0.1:0")
	appendTo(t, before, 1)
	before.Close()
	copied := filepath.Join(t.TempDir(), "other")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	one, other = startBroker(t, dir, "127.0.0.1:0"), startBroker(t, copied, "127.0.0.1:0")
	appendTo(t, one, 1)
	appendTo(t, other, 3)
	return one, other
}

func appendTo(t *testing.T, b *embedded.Broker, n int) {
	t.Helper()
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := l.Append(deadline(t), event(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// A route leads all connections to one broker, which can change.
type route struct {
	mu   sync.Mutex
	to   string
	open []net.Conn
}

func (r *route) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := new(net.Dialer).DialContext(ctx, network, r.to)
	if err == nil {
		r.open = append(r.open, c)
	}
	return c, err
}

// change ends all connections, and leads new ones to another broker.
func (r *route) change(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	for _, c := range r.open {
		_ = c.Close() // its client closes it again
	}
}

// TestAReplacedLogIsNoticedBeforeItIsRead replaces the log between two requests, so that the broker seems to have been
// away for an instant only, and the log is longer than before.
func TestAReplacedLogIsNoticedBeforeItIsRead(t *testing.T) {
	one, other := forked(t)
	r := &route{to: one.Addr()}
	c := config(one.Addr())
	c.Dial = r.dial
	l, err := eventlog.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // of a test
	s := subscribe(t, l, 0)
	read := take(t, s, 2)
	r.change(other.Addr())
	records, err := s.Take(deadline(t), 10)
	var replaced *eventlog.ReplacedError
	if !errors.As(err, &replaced) || replaced.Position != 2 || replaced.Read != read[1].Identity() {
		t.Fatalf("got %d records, %v, want a ReplacedError at 2", len(records), err)
	}
}

func TestASubscriptionContinuesOnlyFromTheRecordBeforeIt(t *testing.T) {
	one, other := forked(t)
	l := open(t, one.Addr())
	of := func(b *embedded.Broker) string { return take(t, subscribe(t, open(t, b.Addr()), 0), 2)[1].Identity() }
	appendTo(t, one, 1)
	for name, c := range map[string]struct {
		last     string
		replaced bool
	}{
		"its own":     {of(one), false},
		"another one": {of(other), true},
		"an unknown":  {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			records, err := subscribeAfter(t, l, 2, c.last).Take(deadline(t), 10)
			var replaced *eventlog.ReplacedError
			switch {
			case c.replaced && !errors.As(err, &replaced):
				t.Errorf("got %d records, %v, want a ReplacedError", len(records), err)
			case !c.replaced && (err != nil || records[0].Offset != 2):
				t.Errorf("got %+v, %v, want the record at offset 2", records, err)
			}
		})
	}
}

// The record before a subscription may have been deleted from the front of the log.
func TestASubscriptionContinuesBehindDeletedRecords(t *testing.T) {
	l, b := prepared(t)
	if _, err := l.Append(deadline(t), event(0), event(1)); err != nil {
		t.Fatal(err)
	}
	last := take(t, subscribe(t, l, 0), 2)[1].Identity()
	deleteRecords(t, b.Addr(), 2)
	s := subscribeAfter(t, l, 2, last)
	for i := range 2 {
		if _, err := l.Append(deadline(t), event(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range take(t, s, 2) {
		if r.Position() != events.Position(i+3) {
			t.Errorf("got the record at %d, want %d", r.Position(), i+3)
		}
	}
}
