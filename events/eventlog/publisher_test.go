package eventlog_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// TestAppendsThatWaitGoTogether counts the record batches of concurrent appends.
func TestAppendsThatWaitGoTogether(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	const writers, each = 64, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(deadline(t), event(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if end, err := l.End(deadline(t)); err != nil || end != writers*each {
		t.Errorf("got a log of %d, %v, want %d", end, err, writers*each)
	}
	batches := countBatches(t, dir)
	if batches == 0 || batches > writers*each/2 {
		t.Errorf("got %d batches for %d appends, want less than half as many", batches, writers*each)
	}
}

// countBatches returns how many record batches the broker of this folder has stored.
func countBatches(t *testing.T, dir string) (batches int) {
	t.Helper()
	const entry = 15 // the size in bytes of a batch's entry in the index
	indexes, err := filepath.Glob(filepath.Join(dir, "partitions", "*", "*.idx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range indexes {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		batches += int(info.Size()) / entry
	}
	return batches
}

// TestAppendsLingerForEachOther appends from several writers to a broker that answers slowly.
// Without a linger the writers split into two groups that alternate, which makes at least two
// batches for each append of a writer.
func TestAppendsLingerForEachOther(t *testing.T) {
	const writers, each = 8, 20
	dir := t.TempDir()
	b := startBroker(t, dir, "127.0.0.1:0")
	l, err := eventlog.Open(eventlog.Config{
		Brokers: []string{b.Addr()}, Topic: "clusterlite.events", ClientID: "test", Dial: dialSlowly, AskTimeout: 5 * time.Second, Linger: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(deadline(t), event(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if end, err := l.End(deadline(t)); err != nil || end != writers*each {
		t.Errorf("got a log of %d, %v, want %d", end, err, writers*each)
	}
	if got := countBatches(t, dir); got < each || got > each*7/4 {
		t.Errorf("got %d batches for %d appends of each of %d writers, want at most %d", got, each, writers, each*7/4)
	}
}

// slowConn simulates a connection to a distant broker.
type slowConn struct{ net.Conn }

func dialSlowly(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return slowConn{c}, err
}

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	time.Sleep(10 * time.Millisecond)
	return n, err
}

func TestAnAppendOfAnEventThatIsTooLargeDoesNothing(t *testing.T) {
	l, _ := prepared(t)
	large := event(1)
	large.Document = []byte(`{"a":"` + strings.Repeat("x", eventlog.MaxRecordBytes) + `"}`)
	if _, err := l.Append(deadline(t), event(0), large, event(2)); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if end, err := l.End(deadline(t)); err != nil || end != 0 {
		t.Errorf("got a log of %d, %v, want an empty one", end, err)
	}
	if p, err := l.Append(deadline(t), event(3)); err != nil || p != 1 {
		t.Errorf("got %d, %v from the next append, want 1", p, err)
	}
}

// TestAnAppendThatGaveUpIsNotSent lets appends wait for a broker that hangs. An append that gives
// up while it waits was certainly not sent.
func TestAnAppendThatGaveUpIsNotSent(t *testing.T) {
	l, err := eventlog.Open(eventlog.Config{Brokers: []string{mute(t)}, Topic: "clusterlite.events", ClientID: "test", AskTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	for range 3 {
		go func() {
			_, err := l.Append(ctx, event(0))
			got <- err
		}()
		go func() {
			_, err := l.AppendUntil(ctx, make(chan struct{}), event(0))
			got <- err
		}()
	}
	cancel()
	for range 6 {
		if err := <-got; !errors.Is(err, eventlog.ErrUnreachable) || !errors.Is(err, context.Canceled) || errors.Is(err, eventlog.ErrOutcomeUnknown) {
			t.Errorf("got %v, want ErrUnreachable and context.Canceled", err)
		}
	}
}

// TestAppendsContinueAfterABrokerRestart appends while the broker restarts. Every acknowledged
// event must be in the log, at the position that its acknowledgement reported.
func TestAppendsContinueAfterABrokerRestart(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	acknowledged := map[events.Position]string{}
	hundred, stop := make(chan struct{}), make(chan struct{})
	reached := sync.OnceFunc(func() { close(hundred) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				e := event(0)
				p, err := l.Append(deadline(t), e)
				mu.Lock()
				if err == nil {
					acknowledged[p] = e.ID
				}
				if len(acknowledged) == 100 {
					reached()
				}
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
				if err != nil {
					time.Sleep(time.Millisecond) // the broker is unavailable: avoid a busy loop
				}
			}
		})
	}
	<-hundred
	b.Close()
	startBroker(t, dir, b.Addr())
	eventually(t, func() bool {
		p, err := l.Append(deadline(t), event(1))
		return err == nil && p > 100
	})
	close(stop)
	wg.Wait()
	end, err := l.End(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	found := map[events.Position]string{}
	for _, r := range take(t, subscribe(t, l, 0), int(end)) {
		found[r.Position()] = r.Event.ID
	}
	for p, id := range acknowledged {
		if found[p] != id {
			t.Errorf("got %q before position %d, want the event %s that was acknowledged", found[p], p, id)
		}
	}
}
