// Package servicetest provides tests of services with what a node has: a real broker, the log,
// and projections that follow it. Only tests import it.
package servicetest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// Context returns a context that ends with the test, or after a time that is far longer than
// any operation takes.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// A Broker is an embedded broker that can be stopped and started again.
type Broker struct {
	t    testing.TB
	dir  string
	addr string
	*embedded.Broker
}

// StartBroker starts a broker in a folder of the test.
func StartBroker(t testing.TB) *Broker {
	t.Helper()
	b := &Broker{t: t, dir: t.TempDir(), addr: "127.0.0.1:0"}
	b.Restart()
	b.addr = b.Broker.Addr()
	t.Cleanup(b.Close)
	return b
}

// Restart starts the broker again after Close, on the same address.
func (b *Broker) Restart() {
	b.t.Helper()
	broker, err := embedded.Start(b.dir, b.addr, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	b.Broker = broker
}

// Addr returns the address of the broker, which stays the same while it is stopped.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker. It may be called more than once.
func (b *Broker) Close() {
	if b.Broker != nil {
		b.Broker.Close()
		b.Broker = nil
	}
}

// OpenLog opens the log on the broker, as the process does that runs the broker. After a restart
// the log uses its clients, as other processes do.
func (b *Broker) OpenLog() *eventlog.Log {
	b.t.Helper()
	l, err := eventlog.Open(eventlog.Config{
		Brokers: []string{b.addr}, Topic: "clusterlite.events", ClientID: "test", AskTimeout: 2 * time.Second,
		Attach: func(ctx context.Context, topic string, s inprocess.Source) (*inprocess.Appender, error) {
			if b.Broker == nil {
				return nil, eventlog.ErrUnreachable
			}
			return b.Attach(ctx, topic, s)
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = l.Close() })
	return l
}

// A Model is a projection and its worker.
type Model struct {
	*projections.Projection
	t    testing.TB
	stop context.CancelFunc // nil while the worker doesn't run
	ran  chan error
}

// OpenModel opens a projection of the log that does not follow it yet.
func OpenModel(t testing.TB, log *eventlog.Log, set *collections.Set) *Model {
	t.Helper()
	if _, err := log.Prepare(Context(t)); err != nil {
		t.Fatal(err)
	}
	return OpenModelIn(t, t.TempDir(), log, set)
}

// OpenModelIn opens a projection in a folder. It works without a broker.
func OpenModelIn(t testing.TB, dir string, log *eventlog.Log, set *collections.Set) *Model {
	t.Helper()
	p, err := projections.Open(Context(t), projections.Options{Dir: dir, Log: log, Collections: set, CacheBytes: 1 << 20, Journal: true})
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{Projection: p, t: t, ran: make(chan error, 1)}
	t.Cleanup(func() {
		m.Stop()
		_ = p.Close()
	})
	return m
}

// Start runs the worker until Stop or the end of the test.
func (m *Model) Start() *Model {
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() { m.ran <- m.Run(ctx) }()
	return m
}

// Follow starts the worker and waits until it has caught up.
func (m *Model) Follow() *Model {
	m.t.Helper()
	m.Start()
	for end := Context(m.t); m.Ready(time.Minute) != nil; time.Sleep(time.Millisecond) {
		if end.Err() != nil {
			m.t.Fatalf("got %v, want that the projection catches up", m.Ready(time.Minute))
		}
	}
	return m
}

// Stop stops the worker if it is running.
func (m *Model) Stop() {
	m.t.Helper()
	if m.stop == nil {
		return
	}
	m.stop()
	m.stop = nil
	if err := <-m.ran; err != nil {
		m.t.Errorf("got %v from the projection, want no error", err)
	}
}

// Collections loads the collections that are built in.
func Collections(t testing.TB) *collections.Set {
	t.Helper()
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Echo returns a server as in a process. Options that are not set have usual values.
func Echo(options web.Options) *echo.Echo {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Registry == nil {
		options.Registry = prometheus.NewRegistry()
	}
	if options.CORS.Origins == nil {
		options.CORS.Origins = []string{"*"}
	}
	if options.MaxBody == 0 {
		options.MaxBody = 1 << 20
	}
	if options.Limits == (web.Limits{}) {
		options.Limits = web.Limits{Requests: 512, Memory: 256 << 20}
	}
	return web.New(options)
}

// Do sends a request to a handler. Each header is "Name: value". A body is JSON unless a header
// says otherwise.
func Do(h http.Handler, method, path, body string, headers ...string) *http.Response {
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, in)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	return Serve(h, r)
}

// Serve passes a request to a handler and returns the response.
func Serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// Body reads the rest of a response.
func Body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// An AskedLog is a log that counts the questions about its end, which take the longest of all that a read
// or a rejected write does.
type AskedLog struct {
	*eventlog.Log
	Asked atomic.Int64
}

// End counts the question and passes it on.
func (l *AskedLog) End(ctx context.Context) (events.Position, error) {
	l.Asked.Add(1)
	return l.Log.End(ctx)
}
