package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// These are the ways in which a query service can handle a read.
const (
	answers  = "it answers"
	notReady = "it is not ready"
	gone     = "it is gone"
)

// said is the detail of a node's own rejection.
const said = "This node is not ready."

// nodes are two fake query services. They handle the reads that they receive in the order of a
// common script.
type nodes struct {
	mu   sync.Mutex
	next []string
	rest string // handles reads after the end of the script
}

func (n *nodes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	does := n.rest
	if len(n.next) > 0 {
		does, n.next = n.next[0], n.next[1:]
	}
	n.mu.Unlock()
	switch does {
	case gone:
		panic(http.ErrAbortHandler)
	case notReady:
		id := r.Header.Get("X-Request-Id")
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, `{"type":"/problems/not-ready","title":"The node is not ready","status":503,"detail":%q,"instance":%q}`, said, id)
	default:
		_, _ = w.Write([]byte(`[]`))
	}
}

// Each case has its own Nginx, because Nginx avoids a failed service for a second.
func TestNginxAsksOn(t *testing.T) {
	wanted(t, "embedded")
	for name, c := range map[string]struct {
		next   []string
		rest   string
		status int
		detail string
	}{
		"at once":                            {nil, answers, 200, ""},
		"gone, the other answers":            {[]string{gone}, answers, 200, ""},
		"not ready, the other answers":       {[]string{notReady}, answers, 200, ""},
		"not ready twice, the other answers": {[]string{notReady, notReady}, answers, 200, ""},
		"both gone, then back":               {[]string{gone, gone}, answers, 200, ""},
		"both gone, one comes back":          {[]string{gone, gone, gone}, answers, 200, ""},
		// Nginx makes a third attempt, after two without a service, in case the list of
		// services has changed. A service that has just started is on the list, but not
		// ready.
		"both gone twice, one comes back": {[]string{gone, gone, gone, gone, notReady}, answers, 200, ""},
		"none is ready":                   {nil, notReady, 503, said},
		"all are gone":                    {nil, gone, 503, "No query service is available. Retry later."},
	} {
		t.Run(name, func(t *testing.T) {
			n := &nodes{next: c.next, rest: c.rest}
			one, other := httptest.NewServer(n), httptest.NewServer(n)
			defer one.Close()
			defer other.Close()
			services := []string{one.URL, other.URL}
			nginx := cluster.Nginx(t, services, services)
			r, err := suite.Send("GET", nginx.URL+"/users", "")
			if err != nil {
				t.Fatal(err)
			}
			if c.status != 200 {
				if p := r.Problem(t, c.status, "not-ready"); p.Detail != c.detail {
					t.Errorf("got %q, want %q", p.Detail, c.detail)
				}
				return
			}
			r.Want(t, 200)
		})
	}
}

// A write may have happened if its service breaks the connection. It did not happen if it
// reached no service. Nginx reports which is the case.
func TestNginxReportsTheOutcomeOfAWrite(t *testing.T) {
	wanted(t, "embedded")
	breaks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer breaks.Close()
	nowhere := "http://" + cluster.Address(t)
	for _, write := range [][]string{
		{"POST", "/users", `{"name":"Ada"}`}, {"PUT", "/users/x", `{"name":"Ada"}`}, {"PATCH", "/users/x", `{"name":"Ada"}`}, {"DELETE", "/users/x", ""},
		{"POST", "/users", `{"name":"Ada"}`, "Content-Type: application/x-ndjson"},
	} {
		for said, service := range map[string]string{"outcome-unknown": breaks.URL, "not-ready": nowhere} {
			nginx := cluster.Nginx(t, []string{nowhere}, []string{service, service})
			r, err := suite.Send(write[0], nginx.URL+write[1], write[2], write[3:]...)
			if err != nil {
				t.Fatal(err)
			}
			r.Problem(t, 503, said)
		}
	}
}

// Every write reaches the running service, whether or not nginx knows which one is down. If
// nginx avoids both, POST and PATCH always reach the running one, while PUT and DELETE reach it
// by chance.
func TestNginxFindsTheCommandServiceThatIsThere(t *testing.T) {
	wanted(t, "embedded")
	var taken atomic.Int64
	var fails atomic.Bool
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fails.Load() {
			panic(http.ErrAbortHandler)
		}
		if body, err := io.ReadAll(r.Body); err != nil || len(body) != int(r.ContentLength) {
			t.Errorf("%s: got %d of %d bytes, %v", r.Method, len(body), r.ContentLength, err)
		}
		taken.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer service.Close()
	nowhere := "http://" + cluster.Address(t)
	for _, write := range [][]string{{"POST", "/users", `{"name":"Ada"}`}, {"PUT", "/users/x", `{"name":"Ada"}`}, {"PATCH", "/users/x", `{"name":"Ada"}`}, {"DELETE", "/users/x", ""}} {
		nginx := cluster.Nginx(t, []string{nowhere}, []string{nowhere, service.URL})
		send := func(want int) {
			t.Helper()
			r, err := suite.Send(write[0], nginx.URL+write[1], write[2])
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != want {
				t.Errorf("%v: got %d %s, want %d", write, r.Status, r.Body, want)
			}
		}
		before := taken.Load()
		for range 20 {
			send(204)
		}
		if taken.Load() != before+20 {
			t.Errorf("%v: got %d accepted writes, want 20", write, taken.Load()-before)
		}
		if write[0] == "POST" || write[0] == "PATCH" {
			fails.Store(true)
			send(503) // so nginx avoids both
			fails.Store(false)
			send(204)
		}
	}
}

// A write that a command service rejects because it is not ready goes to another one, and
// to at most three. A write with an unknown outcome is not sent again.
func TestNginxRetriesARejectedWriteElsewhere(t *testing.T) {
	wanted(t, "embedded")
	var asked, taken atomic.Int64
	refuse := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if next := r.Header.Get("Clusterlite-Try-Next"); next != "" && name == "not-ready" {
				w.Header().Set("X-Accel-Redirect", "@"+next)
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "1")
			w.Header().Set("X-Request-Id", r.Header.Get("X-Request-Id"))
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintf(w, `{"type":"https://clusterlite.dev/problems/%s","title":"x","status":503,"instance":%q}`, name, r.Header.Get("X-Request-Id"))
		}))
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || len(body) != int(r.ContentLength) {
			t.Errorf("%s: got %d of %d bytes, %v", r.Method, len(body), r.ContentLength, err)
		}
		taken.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer service.Close()
	notReady, unknown := refuse("not-ready"), refuse("outcome-unknown")
	defer notReady.Close()
	defer unknown.Close()
	nowhere := "http://" + cluster.Address(t)
	for _, write := range [][]string{{"POST", "/users", `{"name":"Ada"}`}, {"PUT", "/users/x", `{"name":"Ada"}`}, {"PATCH", "/users/x", `{"name":"Ada"}`}, {"DELETE", "/users/x", ""}} {
		send := func(nginx *cluster.Process) suite.Response {
			t.Helper()
			// Nginx drops a client's own values of its internal headers.
			r, err := suite.Send(write[0], nginx.URL+write[1], write[2], "Clusterlite-Try-Next: no_query")
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		nginx := cluster.Nginx(t, []string{nowhere}, []string{notReady.URL, service.URL})
		for range 20 {
			if r := send(nginx); r.Status != 204 {
				t.Errorf("%v: got status %d %s, want 204 from the service that is ready", write, r.Status, r.Body)
			}
		}
		asked.Store(0)
		send(cluster.Nginx(t, []string{nowhere}, []string{notReady.URL, notReady.URL})).Problem(t, 503, "not-ready")
		if got := asked.Load(); got != 3 {
			t.Errorf("%v: got %d services tried, want 3", write, got)
		}
		asked.Store(0)
		send(cluster.Nginx(t, []string{nowhere}, []string{unknown.URL, unknown.URL})).Problem(t, 503, "outcome-unknown")
		if got := asked.Load(); got != 1 {
			t.Errorf("%v: got %d services that received a write with an unknown outcome, want 1", write, got)
		}
	}
}
