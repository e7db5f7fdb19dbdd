package queryapi_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// Files that a rebuild has made take the place of the others while clients follow the feed in every way.
// Each client gets every change once, in order.
func TestRebuildsDoNotDisturbTheFeed(t *testing.T) {
	n := newFeed(t, changes.Timing{Life: 100 * time.Millisecond, Poll: 100 * time.Millisecond, Heartbeat: 20 * time.Millisecond})
	url := serveFeed(t, n)
	written := events.Position(0)
	write := func() { _, written = n.created(int(written)) }
	for range 300 {
		write()
	}
	var last atomic.Int64 // the last position, once it is known
	done := func(at string) bool {
		p, _ := strconv.ParseInt(at, 10, 64)
		return last.Load() > 0 && p >= last.Load()
	}
	var reading sync.WaitGroup
	got := make([][]string, 9)
	for i := range got {
		follow := []func(string, *[]string) string{followStream(t, url), askFrom(t, url, "&live=long-poll"), askFrom(t, url, "&limit=7")}[i%3]
		reading.Go(func() {
			for at := "-1"; !done(at) && !t.Failed(); {
				at = follow(at, &got[i])
			}
		})
	}
	for range 3 {
		start(t, n.model.Projection)
		for {
			write()
			if s, _ := n.model.Rebuild(); s.State == projections.RebuildDone {
				break
			} else if s.State != projections.RebuildRunning {
				t.Fatalf("got the rebuild %+v, want a swap", s)
			}
		}
	}
	write()
	last.Store(int64(written))
	reading.Wait()
	for i, positions := range got {
		if !slices.Equal(positions, upTo(1, int(written))) {
			t.Errorf("client %d: got %d changes that are not 1 to %d in order", i, len(positions), written)
		}
	}
}

// start starts a rebuild, once the file that the last one replaced is gone.
func start(t *testing.T, p *projections.Projection) {
	t.Helper()
	for ctx := servicetest.Context(t); ; time.Sleep(time.Millisecond) {
		err := p.StartRebuild(projections.RebuildOptions{})
		if err == nil {
			return
		}
		if !errors.Is(err, projections.ErrRebuilding) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// followStream returns a function that follows a stream from an offset to its end, and returns the next offset.
func followStream(t *testing.T, url string) func(at string, got *[]string) string {
	return func(at string, got *[]string) string {
		l := listen(t, url+"/users/changes?live=sse&offset="+at)
		defer func() { _ = l.response.Body.Close() }()
		for {
			event, id, data, ok := l.next()
			if !ok {
				return at
			}
			if at = id; event == "data" {
				*got = append(*got, positionsIn(t, []byte(data))...)
			}
		}
	}
}

// askFrom returns a function that asks once for what comes after an offset, and returns the next offset.
func askFrom(t *testing.T, url, query string) func(at string, got *[]string) string {
	return func(at string, got *[]string) string {
		r, err := http.Get(url + "/users/changes?offset=" + at + query)
		if err != nil {
			t.Error(err)
			return at
		}
		body := servicetest.Body(t, r)
		_ = r.Body.Close()
		switch r.StatusCode {
		case http.StatusOK:
			*got = append(*got, positionsIn(t, []byte(body))...)
		case http.StatusNoContent:
		default:
			t.Errorf("from %s: got %d %s, want changes", at, r.StatusCode, body)
		}
		return r.Header.Get(changes.HeaderNextOffset)
	}
}

func positionsIn(t *testing.T, data []byte) []string {
	var some []change
	if err := json.Unmarshal(data, &some); err != nil {
		t.Error(err)
	}
	return positions(some)
}
