package livequery_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

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

// serve serves the table as programs do, and returns its URL and a function that stops the server. The
// parameter q is the key of the query.
func serve(t *testing.T, s *table, options web.Options, life time.Duration) (url string, stop func()) {
	t.Helper()
	var hub livequery.Hub
	e := servicetest.Echo(options)
	e.GET("/", func(c echo.Context) error {
		return hub.Serve(c, s.query(c.QueryParam("q")), 0, livequery.Timing{First: 10 * time.Second, Heartbeat: 20 * time.Millisecond, Life: life})
	})
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, l, nil, e, slog.New(slog.DiscardHandler)) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("got %v from the server, want an orderly end", err)
		}
	})
	t.Cleanup(stop)
	return "http://" + l.Addr().String(), stop
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
	url, _ := serve(t, s, web.Options{}, time.Minute)
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
	url, _ := serve(t, s, web.Options{}, time.Minute)
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

// TestStreamsEnd checks that a stream ends with its time, with its query, and when the server stops.
func TestStreamsEnd(t *testing.T) {
	for _, name := range []string{"its time", "its query", "its server"} {
		t.Run(name, func(t *testing.T) {
			life := time.Minute
			if name == "its time" {
				life = 50 * time.Millisecond
			}
			s := &table{rows: "[1]", moved: make(chan struct{})}
			url, stop := serve(t, s, web.Options{}, life)
			_, lines, _ := follow(t, url)
			if got := rows(lines); got != "[1]" {
				t.Fatalf("got %s, want the rows", got)
			}
			switch name {
			case "its query":
				s.end()
			case "its server":
				stop()
			}
			if got := rows(lines); got != "" || lines.Err() != nil {
				t.Errorf("got %s, %v, want the end of the stream", got, lines.Err())
			}
		})
	}
}

// TestRowsTakeMemoryWhileTheyAreFollowed checks that the rows of a client count as memory of requests until
// its stream ends, although the handler returned long before.
func TestRowsTakeMemoryWhileTheyAreFollowed(t *testing.T) {
	s := &table{rows: "[" + strings.Repeat("1", 600) + "]", moved: make(chan struct{})}
	url, _ := serve(t, s, web.Options{Registry: prometheus.NewRegistry(), Limits: web.Limits{Requests: 10, Memory: 1000}}, time.Minute)
	_, lines, leave := follow(t, url)
	if got := rows(lines); got != s.rows {
		t.Fatalf("got %s, want the rows", got)
	}
	if status, _, _ := follow(t, url); status != http.StatusServiceUnavailable {
		t.Errorf("a second client: got %d, want 503: there is no memory for its rows", status)
	}
	// Rows that grow beyond the memory end the stream.
	s.set("[" + strings.Repeat("2", 1200) + "]")
	if got := rows(lines); got != "" || lines.Err() != nil {
		t.Errorf("got %s, %v, want the end of the stream", got, lines.Err())
	}
	leave()
	s.set("[3]")
	for end := servicetest.Context(t); ; {
		status, lines, _ := follow(t, url)
		if status == http.StatusOK {
			if got := rows(lines); got != "[3]" {
				t.Errorf("got %s, want the new rows", got)
			}
			return
		}
		if end.Err() != nil {
			t.Fatalf("got %d after the stream has ended, want 200", status)
		}
		time.Sleep(time.Millisecond)
	}
}
