package expiry_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterlite/clusterlite/events/expiry"
)

const timeout = 640 * time.Millisecond // ten milliseconds for each of its parts

// wait returns how long it takes until ctx ends, without a call of its Done.
func wait(ctx context.Context) time.Duration {
	began := time.Now()
	ended, expired := expiry.Done(ctx)
	select {
	case <-ended:
	case <-expired:
	}
	return time.Since(began)
}

// ways are the ways to wait for the end of a context.
var ways = map[string]func(context.Context) time.Duration{
	"expiry.Done": wait,
	"ctx.Done": func(ctx context.Context) time.Duration {
		began := time.Now()
		<-ctx.Done()
		return time.Since(began)
	},
	"derived": func(ctx context.Context) time.Duration {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		began := time.Now()
		<-child.Done()
		return time.Since(began)
	},
}

func TestAContextEndsAfterItsTimeout(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var timers expiry.Timers
				for _, pause := range []time.Duration{0, 3, 7, 2, 100, 5, 5, 5} { // within a part, and beyond
					time.Sleep(pause * time.Millisecond)
					ctx, cancel := timers.WithTimeout(t.Context(), timeout)
					at, _ := ctx.Deadline()
					if err := ctx.Err(); err != nil {
						t.Errorf("got %v at the beginning, want no error", err)
					}
					left := time.Until(at)
					if got := way(ctx); got != left || got < timeout || got > timeout+timeout/64 {
						t.Errorf("got an end after %s with a deadline in %s, want it after %s or up to a part later", got, left, timeout)
					}
					if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
					}
					cancel()
				}
			})
		})
	}
}

// Contexts with other timeouts do not share timers.
func TestTimeoutsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timers expiry.Timers
		for _, want := range []time.Duration{timeout, 2 * timeout, timeout / 2, timeout} {
			ctx, cancel := timers.WithTimeout(t.Context(), want)
			if got := wait(ctx); got < want || got > want+want/64 {
				t.Errorf("got an end after %s, want it after %s", got, want)
			}
			cancel()
		}
		for _, after := range []time.Duration{0, -1} {
			ctx, cancel := timers.WithTimeout(t.Context(), after)
			if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v with a timeout of %s, want %v", err, after, context.DeadlineExceeded)
			}
			cancel()
		}
	})
}

func TestAContextEndsWithItsParent(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var timers expiry.Timers
				parent, end := context.WithCancel(t.Context())
				ctx, cancel := timers.WithTimeout(parent, timeout)
				defer cancel()
				time.AfterFunc(time.Millisecond, end)
				if got := way(ctx); got != time.Millisecond {
					t.Errorf("got an end after %s, want it after a millisecond", got)
				}
				if err := ctx.Err(); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want %v", err, context.Canceled)
				}
			})
		})
	}
}

func TestTheParentsDeadlineMayBeEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timers expiry.Timers
		parent, end := context.WithTimeout(t.Context(), time.Millisecond)
		defer end()
		ctx, cancel := timers.WithTimeout(parent, timeout)
		defer cancel()
		if at, ok := ctx.Deadline(); !ok || time.Until(at) != time.Millisecond {
			t.Errorf("got a deadline at %s, %v, want that of the parent", at, ok)
		}
		if got := wait(ctx); got != time.Millisecond || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("got an end after %s with %v, want it after a millisecond", got, ctx.Err())
		}
	})
}

func TestCancel(t *testing.T) {
	for name, first := range map[string]func(context.Context){
		"before Done": func(context.Context) {},
		"after Done":  func(ctx context.Context) { ctx.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			var timers expiry.Timers
			ctx, cancel := timers.WithTimeout(t.Context(), time.Hour)
			first(ctx)
			cancel()
			cancel()
			if err := ctx.Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
			<-ctx.Done()
		})
	}
}

type key struct{}

func TestValuesAreThoseOfTheParent(t *testing.T) {
	var timers expiry.Timers
	ctx, cancel := timers.WithTimeout(context.WithValue(t.Context(), key{}, 7), time.Hour)
	defer cancel()
	for range 2 {
		if got := ctx.Value(key{}); got != 7 {
			t.Errorf("got %v, want 7", got)
		}
		ctx.Done()
	}
}

// A context of another package needs a second channel that never ends.
func TestDoneOfOtherContexts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended, never := expiry.Done(ctx)
	<-ended
	if never != nil {
		t.Error("got a second channel, want none")
	}
}

func TestConcurrentContexts(t *testing.T) {
	var timers expiry.Timers
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				ctx, cancel := timers.WithTimeout(t.Context(), time.Duration(1+(worker+i)%3)*time.Millisecond)
				wg.Go(func() {
					if i%2 == 0 {
						<-ctx.Done()
					}
					_, _ = ctx.Value(key{}), ctx.Err()
				})
				if wait(ctx); ctx.Err() == nil {
					t.Error("got no error after the end, want one")
				}
				cancel()
			}
		})
	}
	wg.Wait()
}
