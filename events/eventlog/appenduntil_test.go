package eventlog_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

type confirmation struct {
	at  time.Time
	err error
}

func TestAppendUntilWaitsUntilTheEventIsKnown(t *testing.T) {
	l, _ := prepared(t)
	s := subscribe(t, l, 0)
	for name, c := range map[string]struct {
		known bool // whether known is closed before the context ends
	}{"known": {true}, "not known in time": {false}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(deadline(t))
			defer cancel()
			known, returned := make(chan struct{}), make(chan confirmation, 1)
			go func() {
				at, err := l.AppendUntil(ctx, known, event(1))
				returned <- confirmation{at, err}
			}()
			take(t, s, 1)
			// One group is in flight at a time, so the first append is confirmed before the second.
			if _, err := l.Append(deadline(t), event(2)); err != nil {
				t.Fatal(err)
			}
			take(t, s, 1)
			now := time.Now()
			select {
			case got := <-returned:
				t.Fatalf("got %+v before the event was known, want no return", got)
			default:
			}
			if c.known {
				close(known)
			} else {
				cancel()
			}
			if got := <-returned; got.err != nil || got.at.IsZero() || got.at.After(now) {
				t.Errorf("got %+v, want a time before %s", got, now)
			}
		})
	}
}

// An event that was read back is in the log, whether or not the broker has confirmed it yet.
func TestAppendUntilOfAnEventThatIsKnownFirst(t *testing.T) {
	l, _ := prepared(t)
	known := make(chan struct{})
	close(known)
	if at, err := l.AppendUntil(deadline(t), known, event(1)); err != nil || at.IsZero() {
		t.Errorf("got %s, %v, want a time", at, err)
	}
}

func TestAppendUntilReturnsErrorsAtOnce(t *testing.T) {
	l, b := prepared(t)
	never := make(chan struct{})
	large := event(1)
	large.Document = []byte(`{"a":"` + strings.Repeat("x", eventlog.MaxRecordBytes) + `"}`)
	if _, err := l.AppendUntil(deadline(t), never, large); !errors.Is(err, eventlog.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	b.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendUntil(deadline(t), never, event(1)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// TestAppendsUntilKnownOverABrokerRestart appends from many writers, each of which waits until a
// subscription has read its event, while the broker restarts. Every event without an error must be in
// the log, and every writer must continue.
func TestAppendsUntilKnownOverABrokerRestart(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 40
	var mu sync.Mutex
	expected, read := map[string]chan struct{}{}, map[string]bool{}
	ctx, stop := context.WithCancel(t.Context())
	s, half := subscribe(t, l, 0), make(chan struct{})
	var reader, wg sync.WaitGroup
	reader.Go(func() {
		for ctx.Err() == nil {
			records, err := s.Take(ctx, 100)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			mu.Lock()
			for _, r := range records {
				if known := expected[r.Event.ID]; r.Content == events.HasEvent && known != nil && !read[r.Event.ID] {
					close(known)
				}
				if read[r.Event.ID] = true; len(read) == writers*each/2 {
					select {
					case <-half:
					default:
						close(half)
					}
				}
			}
			mu.Unlock()
		}
	})
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				e, known := event(0), make(chan struct{})
				mu.Lock()
				expected[e.ID] = known
				mu.Unlock()
				_, err := l.AppendUntil(deadline(t), known, e)
				if err != nil {
					time.Sleep(time.Millisecond) // the broker is unavailable: avoid a busy loop
					continue
				}
				mu.Lock()
				if !read[e.ID] {
					t.Errorf("got event %s confirmed before it was read", e.ID)
				}
				mu.Unlock()
				done++
			}
		})
	}
	<-half
	b.Close()
	startBroker(t, dir, b.Addr())
	wg.Wait()
	stop()
	reader.Wait()
}
