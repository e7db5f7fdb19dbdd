package httpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterlite/clusterlite/service/httpclient"
)

// The error is the same, whichever limit ends an exchange and however the library reports
// it. Time is simulated.
func TestEachTimeLimitIsASilentPeer(t *testing.T) {
	waits := func(err error) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			if err == nil {
				return ctx.Err()
			}
			return err
		}
	}
	fails := func(err error) func(context.Context) error {
		return func(context.Context) error { time.Sleep(2 * time.Second); return err }
	}
	opaque := errors.New("request canceled")
	const never, limit = time.Hour, 5 * time.Second
	for name, c := range map[string]struct {
		limit, deadline time.Duration
		exchange        func(context.Context) error
		want            time.Duration
	}{
		"the watch's limit":                 {limit, never, waits(nil), limit},
		"the watch's limit, hidden":         {limit, never, waits(opaque), limit},
		"the caller's deadline":             {never, limit, waits(nil), limit},
		"the caller's deadline, hidden":     {never, limit, waits(opaque), limit},
		"both at once":                      {limit, limit, waits(nil), limit},
		"both at once, hidden":              {limit, limit, waits(opaque), limit},
		"both at once, as a cancellation":   {limit, limit, waits(context.Canceled), limit},
		"the library's context":             {never, never, fails(context.DeadlineExceeded), 2 * time.Second},
		"the library's connection":          {never, never, fails(fmt.Errorf("read: %w", os.ErrDeadlineExceeded)), 2 * time.Second},
		"the library's, joined with others": {never, never, fails(errors.Join(opaque, context.DeadlineExceeded)), 2 * time.Second},
		// Timeout of a url.Error returns false if the cause of the timeout is wrapped.
		"the library's, below one that denies it": {never, never, fails(&url.Error{Op: "Get", URL: "x", Err: fmt.Errorf("send: %w", context.DeadlineExceeded)}), 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller, cancel := context.WithTimeout(t.Context(), c.deadline)
				defer cancel()
				ctx, watch, stop := httpclient.NewWatch(caller, "peer-1")
				defer stop()
				watch.Wait(httpclient.Asking, c.limit)
				err := watch.Err(c.exchange(ctx))
				want := httpclient.SilentError{Peer: "peer-1", Stage: httpclient.Asking, For: c.want}
				var silent *httpclient.SilentError
				if !errors.As(err, &silent) || *silent != want || watch.Silence() != silent {
					t.Errorf("got %v, want %v", err, &want)
				}
			})
		})
	}
}

func TestOtherErrorsAreNotSilence(t *testing.T) {
	failed := errors.New("access denied")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithTimeout(t.Context(), -1)
	defer cancelLate()
	closed := &url.Error{Op: "Get", URL: "x", Err: io.EOF}
	for name, c := range map[string]struct {
		ctx context.Context
		err error
	}{
		"none":                    {t.Context(), nil},
		"a fault":                 {t.Context(), failed},
		"a closed connection":     {t.Context(), closed},
		"the caller gave up":      {ended, context.Canceled},
		"too late before it asks": {late, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			_, watch, stop := httpclient.NewWatch(c.ctx, "peer-1")
			defer stop()
			watch.Wait(httpclient.Asking, time.Minute)
			if got := watch.Err(c.err); got != c.err || watch.Silence() != nil { //nolint:errorlint // unchanged
				t.Errorf("got %v, want %v", got, c.err)
			}
		})
	}
}

// The error names the silent peer of an inner exchange, or that of an outer one which ended
// the inner exchange.
func TestAnExchangeWithinAnotherNamesTheRightPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outerCtx, outer, stopOuter := httpclient.NewWatch(t.Context(), "outer")
		defer stopOuter()
		innerCtx, inner, stopInner := httpclient.NewWatch(outerCtx, "inner")
		defer stopInner()
		inner.Wait(httpclient.Asking, time.Second)
		<-innerCtx.Done()
		err := outer.Err(fmt.Errorf("inner: %w", inner.Err(innerCtx.Err())))
		if silent := (*httpclient.SilentError)(nil); !errors.As(err, &silent) || silent.Peer != "inner" || outer.Silence() != nil {
			t.Errorf("got %v, want that inner did not answer", err)
		}

		innerCtx, inner, stopInner = httpclient.NewWatch(outerCtx, "inner")
		defer stopInner()
		inner.Wait(httpclient.Asking, time.Hour)
		outer.Wait(httpclient.Asking, time.Second)
		<-innerCtx.Done()
		err = inner.Err(innerCtx.Err())
		if silent := (*httpclient.SilentError)(nil); !errors.As(err, &silent) || silent.Peer != "outer" {
			t.Errorf("got %v, want that outer did not answer", err)
		}
	})
}
