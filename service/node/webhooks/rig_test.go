package webhooks_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/wire"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	servicetest.ClearSettings()
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// secrets are two secrets of the convention.
var secrets = []string{"whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("a", 24))), "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("b", 32)))}

// A feed has the collection users and one filter: the id of the entity.
type feed struct{}

func (feed) Declared(name string) bool { return name == "users" || name == "orders" }

func (feed) Condition(_ string, filters url.Values) (webhooks.Condition, error) {
	id := filters.Get("id")
	if id == "" {
		return nil, fmt.Errorf("there is only the filter id")
	}
	return func(e *journal.Entry) (bool, error) { return e.Event.EntityID == id, nil }, nil
}

func (feed) Append(b []byte, e *journal.Entry) []byte { return wire.AppendPublicLine(b, e.Event) }

// A received is a request that the endpoint got.
type received struct {
	ID, Entity, Agent string
	Version           string
	header            http.Header
	body              []byte
}

// An endpoint takes requests of webhooks.
type endpoint struct {
	t   testing.TB
	url string

	mu     sync.Mutex
	got    []received
	answer func(received) int
}

func newEndpoint(t testing.TB) *endpoint {
	t.Helper()
	e := &endpoint{t: t, answer: func(received) int { return http.StatusNoContent }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender has stopped
		}
		var event struct{ ID, Subject, Version string }
		var line map[string]any
		if err := json.Unmarshal(body, &line); err != nil {
			t.Errorf("got the body %s, want JSON", body)
		}
		_ = json.Unmarshal(body, &event)
		got := received{ID: event.ID, Entity: event.Subject, Version: fmt.Sprint(line["entityversion"]), Agent: r.UserAgent(), header: r.Header, body: body}
		e.mu.Lock()
		status := e.answer(got)
		if status < 300 {
			e.got = append(e.got, got)
		}
		e.mu.Unlock()
		if status == http.StatusFound {
			w.Header().Set("Location", "http://127.0.0.1:1/")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	e.url = s.URL + "/hooks?token=hidden"
	return e
}

// respond changes the answers. The function is called with a lock held.
func (e *endpoint) respond(answer func(received) int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func status(s int) func(received) int { return func(received) int { return s } }

// accepted returns the requests that the endpoint accepted.
func (e *endpoint) accepted() []received {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// await waits until the endpoint has accepted n requests, and returns them.
func (e *endpoint) await(n int) []received {
	e.t.Helper()
	eventually(e.t, fmt.Sprintf("%d requests", n), func() bool { return len(e.accepted()) >= n })
	return e.accepted()
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for ctx := servicetest.Context(t); !is(); time.Sleep(2 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("got no %s in time, want it", what)
		}
	}
}

// A cluster is a log and the nodes that deliver its events.
type cluster struct {
	t      testing.TB
	broker *servicetest.Broker
	log    *eventlog.Log
	path   string

	mu     sync.Mutex
	roster map[string]roster.Entry
}

func newCluster(t testing.TB, declaration string) *cluster {
	t.Helper()
	b := servicetest.StartBroker(t)
	c := &cluster{t: t, broker: b, log: b.OpenLog(), path: filepath.Join(t.TempDir(), "webhooks.json"), roster: map[string]roster.Entry{}}
	if _, err := c.log.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	c.write("secret", secrets[0])
	c.declare(declaration)
	return c
}

func (c *cluster) declare(declaration string) {
	c.t.Helper()
	c.write(filepath.Base(c.path), declaration)
}

func (c *cluster) write(name, content string) {
	c.t.Helper()
	// As a whole, because the nodes read it at any time.
	temporary := filepath.Join(filepath.Dir(c.path), name+".new")
	err := os.WriteFile(temporary, []byte(content), 0o600)
	if err == nil {
		err = os.Rename(temporary, filepath.Join(filepath.Dir(c.path), name))
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// declaration declares the webhook w.
func declaration(url, more string) string {
	return fmt.Sprintf(`{"webhooks": [{"name": "w", "url": %q, "plaintext": true, "collections": ["users"], "secret_file": "secret", "from": "beginning"%s}]}`, url, more)
}

// A node delivers webhooks.
type node struct {
	*webhooks.Set
	t     testing.TB
	name  string
	c     *cluster
	model *servicetest.Model
	dead  atomic.Bool // it says nothing to the others
	stop  func()
}

// timing is that of tests.
var timing = webhooks.Timing{Poll: 20 * time.Millisecond, Save: 50 * time.Millisecond, Silence: 600 * time.Millisecond, Fence: time.Minute, RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond}

// start starts a node with a new projection.
func (c *cluster) start(name string) *node {
	c.t.Helper()
	return c.startWith(name, servicetest.OpenModel(c.t, c.log, servicetest.Collections(c.t)).Follow(), timing)
}

func (c *cluster) startWith(name string, model *servicetest.Model, timing webhooks.Timing) *node {
	c.t.Helper()
	n := &node{t: c.t, name: name, c: c, model: model}
	c.announce(name, roster.Running)
	var err error
	n.Set, err = webhooks.Open(webhooks.Options{
		Path: c.path, Node: name, Source: "/test/" + name, Agent: name, Feed: feed{}, Model: model.Projection, Log: c.log, ReadyLag: time.Minute,
		Logger: slog.New(slog.DiscardHandler), Timing: timing,
		Announced: func() time.Time {
			if !n.dead.Load() {
				c.announce(name, roster.Running)
			}
			return time.Now()
		},
		Lookup: func(_ context.Context, node string) (roster.Entry, bool, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			e, found := c.roster[node]
			return e, found, nil
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.Run(ctx); err != nil {
			c.t.Errorf("got %v from the webhooks, want no error", err)
		}
	}()
	n.stop = sync.OnceFunc(func() { cancel(); <-ended })
	c.t.Cleanup(n.stop)
	eventually(c.t, "webhook", func() bool { l, err := n.List(servicetest.Context(c.t)); return err == nil && len(l.Webhooks) == 1 })
	return n
}

func (c *cluster) announce(name string, state roster.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roster[name] = roster.Entry{Node: name, State: state, At: time.Now()}
}

// webhook returns the status of the webhook w.
func (n *node) webhook() webhooks.Status {
	n.t.Helper()
	list, err := n.List(servicetest.Context(n.t))
	if err != nil || len(list.Webhooks) != 1 {
		n.t.Fatalf("got %+v, %v, want one webhook", list, err)
	}
	return list.Webhooks[0]
}

// delivers waits until the node delivers.
func (n *node) delivers() {
	n.t.Helper()
	eventually(n.t, "delivery by node "+n.name, func() bool { return n.webhook().Delivery != nil })
}

// put appends an event of a user, and returns its id.
func (c *cluster) put(entity string, version int64) string {
	c.t.Helper()
	e := events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: entity, Kind: events.Updated, Version: version,
		Time: time.Now().UTC().Truncate(time.Millisecond), Document: fmt.Appendf(nil, `{"name":"%d"}`, version), IdempotencyKey: uuid.NewString(), RequestHash: "hash",
	}
	if version == 1 {
		e.Kind = events.Created
	}
	if _, err := c.log.Append(servicetest.Context(c.t), e); err != nil {
		c.t.Fatal(err)
	}
	return e.ID
}

// ids returns the ids of events, in the order of the requests.
func ids(all []received) (ids []string) {
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	return ids
}

// verify checks the signature of a request.
func (r received) verify(t testing.TB, secret string) error {
	t.Helper()
	w, err := standard.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return w.Verify(r.body, r.header)
}
