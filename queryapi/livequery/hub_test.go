package livequery_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/queryapi/livequery"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A table has rows that a test changes.
type table struct {
	mu    sync.Mutex
	rows  string
	at    events.Position
	moved chan struct{}
	ended bool
	reads atomic.Int64
}

func (s *table) set(rows string) events.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at++
	s.rows = rows
	close(s.moved)
	s.moved = make(chan struct{})
	return s.at
}

func (s *table) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *table) query(key string) livequery.Query {
	return livequery.Query{
		Key: key,
		Read: func(_ context.Context, changed func(events.Position) bool) (livequery.State, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			state := livequery.State{At: s.at, Changed: s.at}
			if changed(s.at) {
				s.reads.Add(1)
				state.Rows = []byte(s.rows)
			}
			return state, nil
		},
		Wait: func(ctx context.Context, after events.Position) (bool, error) {
			for {
				s.mu.Lock()
				at, moved, ended := s.at, s.moved, s.ended
				s.mu.Unlock()
				switch {
				case ended:
					return false, livequery.ErrEnded
				case at > after:
					return false, nil
				}
				select {
				case <-moved:
				case <-ctx.Done():
					return false, ctx.Err()
				}
			}
		},
	}
}

// serve returns the URL of a server of the table. The parameter q is the key of the query.
func serve(t *testing.T, s *table, life time.Duration) string {
	t.Helper()
	var hub livequery.Hub
	e := servicetest.Echo(web.Options{})
	e.GET("/", func(c echo.Context) error {
		return hub.Serve(c, s.query(c.QueryParam("q")), 0, livequery.Timing{First: 10 * time.Second, Heartbeat: 20 * time.Millisecond, Life: life})
	})
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server.URL
}

// follow begins a stream, which ends with the test or when stop is called.
func follow(t *testing.T, url string) (status int, lines *bufio.Scanner, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(servicetest.Context(t))
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response.StatusCode, bufio.NewScanner(response.Body), cancel
}

// rows returns the next rows of a stream, or none at its end.
func rows(lines *bufio.Scanner) string {
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data:["); ok {
			return "[" + data
		}
	}
	return ""
}

// TestClientsShareAWatch checks that many clients cost one read for each change, and that all of them get
// the last rows, whatever they missed.
func TestClientsShareAWatch(t *testing.T) {
	s := &table{rows: "[0]", moved: make(chan struct{})}
	url := serve(t, s, time.Minute)
	const clients, changes = 20, 30
	var streams []*bufio.Scanner
	for range clients {
		_, lines, _ := follow(t, url+"?q=a")
		if got := rows(lines); got != "[0]" {
			t.Fatalf("got %s, want the rows at the beginning", got)
		}
		streams = append(streams, lines)
	}
	for n := range changes {
		s.set(fmt.Sprintf("[%d]", n+1))
	}
	want := fmt.Sprintf("[%d]", changes)
	for i, lines := range streams {
		for got := rows(lines); got != want; got = rows(lines) {
			if got == "" {
				t.Fatalf("client %d: the stream ended, want %s", i, want)
			}
		}
	}
	if reads := s.reads.Load(); reads > changes+1 {
		t.Errorf("got %d reads for %d changes and %d clients, want at most one for each change", reads, changes, clients)
	}
}

// TestQueriesAreLimited checks the limit, and that a query whose clients have left makes room.
func TestQueriesAreLimited(t *testing.T) {
	s := &table{rows: "[]", moved: make(chan struct{})}
	url := serve(t, s, time.Minute)
	var leave func()
	for i := range livequery.MaxQueries {
		status, _, stop := follow(t, fmt.Sprintf("%s?q=%d", url, i))
		if leave = stop; status != http.StatusOK {
			t.Fatalf("query %d: got %d, want 200", i, status)
		}
	}
	if status, _, _ := follow(t, url+"?q=0"); status != http.StatusOK {
		t.Errorf("another client of a query: got %d, want 200", status)
	}
	if status, _, _ := follow(t, url+"?q=more"); status != http.StatusServiceUnavailable {
		t.Errorf("one more query: got %d, want 503", status)
	}
	leave()
	for end := servicetest.Context(t); ; {
		if status, _, _ := follow(t, url+"?q=more"); status == http.StatusOK {
			return
		}
		if end.Err() != nil {
			t.Fatal("got no room in time after a client has left, want it")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestStreamsEnd checks that a stream ends with its time and with its query.
func TestStreamsEnd(t *testing.T) {
	for name, life := range map[string]time.Duration{"its time": 50 * time.Millisecond, "its query": time.Minute} {
		t.Run(name, func(t *testing.T) {
			s := &table{rows: "[1]", moved: make(chan struct{})}
			_, lines, _ := follow(t, serve(t, s, life))
			if got := rows(lines); got != "[1]" {
				t.Fatalf("got %s, want the rows", got)
			}
			if life == time.Minute {
				s.end()
			}
			if got := rows(lines); got != "" || lines.Err() != nil {
				t.Errorf("got %s, %v, want the end of the stream", got, lines.Err())
			}
		})
	}
}
