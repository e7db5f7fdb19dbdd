// Package admin implements the listener for operators: health, readiness, metrics, status.
// It is not for clients, and no proxy routes requests to it. Package node serves it, and the
// operator's tool is its client.
package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// A Source is what a process reports about itself. All functions are called concurrently.
type Source struct {
	// Node is the process's name.
	Node string
	// Ready says why the process is not ready; nil if it is.
	Ready func() error
	// Degraded says what a ready process can't guarantee at the moment; empty if there is
	// no restriction. It may be nil.
	Degraded func() string
	// Status returns what /status shows, as JSON.
	Status func(context.Context) (any, error)
	// Operators decide who may use more than health, readiness and metrics.
	Operators Operators
	// Registry holds the metrics.
	Registry *prometheus.Registry
	// Resources are additional resources of the process, by path.
	Resources map[string]Methods
}

// Methods are the handlers of one path, by method. GET answers HEAD too.
type Methods map[string]http.HandlerFunc

// NewRegistry returns a registry with the process's own metrics.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler answers the admin requests.
func Handler(s Source) http.Handler {
	mux := http.NewServeMux()
	mount := func(path string, methods Methods) {
		allow := methods.allow()
		for method, h := range methods {
			mux.HandleFunc(method+" "+path, h)
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			WriteProblem(w, problem.MethodNotAllowed.New("The resource supports "+allow+".").Set("Allow", allow))
		})
	}
	mount("/livez", Methods{"GET": func(w http.ResponseWriter, _ *http.Request) {
		Answer(w, http.StatusOK, map[string]bool{"live": true})
	}})
	mount("/readyz", Methods{"GET": func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			Answer(w, http.StatusServiceUnavailable, readiness{Reason: err.Error()})
			return
		}
		answer := readiness{Ready: true}
		if s.Degraded != nil {
			answer.Degraded = s.Degraded()
		}
		Answer(w, http.StatusOK, answer)
	}})
	mount("/metrics", Methods{"GET": promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{}).ServeHTTP})
	mount("/status", Methods{"GET": func(w http.ResponseWriter, r *http.Request) {
		status, err := s.Status(r.Context())
		if err != nil {
			WriteProblem(w, problem.Internal.New(err.Error()))
			return
		}
		Answer(w, http.StatusOK, status)
	}})
	for path, methods := range s.Resources {
		mount(path, methods)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		WriteProblem(w, problem.NotFound.New("No resource exists at this path."))
	})
	return addressed(s.Node, s.Operators.guard(mux))
}

// HeaderNode names the node that a request to an admin listener is meant for.
const HeaderNode = "Clusterlite-Node"

// addressed rejects requests that are meant for another node. Addresses are reused,
// loopback addresses above all, and a command must not reach the node that has the address
// now.
func addressed(node string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if meant := r.Header.Get(HeaderNode); meant != "" && meant != node {
			WriteProblem(w, problem.Misdirected.New("This is node "+node+", not the node that the request names. Nothing was done."))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Until cancels long requests when ctx ends, so that a stopping process does not have to
// wait for them.
func Until(ctx context.Context, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		h.ServeHTTP(w, r.WithContext(asked))
	})
}

// allow lists the methods in the form of the Allow header field.
func (m Methods) allow() string {
	var names []string
	for method := range m {
		names = append(names, method)
		if method == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

type readiness struct {
	Ready bool `json:"ready"`
	// Reason says why the process is not ready. Degraded says what it can't guarantee although
	// it is ready.
	Reason   string `json:"reason,omitempty"`
	Degraded string `json:"degraded,omitempty"`
}

// Answer answers an admin request with JSON.
func Answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		WriteProblem(w, problem.Internal.New(err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may have disconnected
}

// WriteProblem answers an admin request with a problem.
func WriteProblem(w http.ResponseWriter, p *problem.Problem) { _ = p.Write(w, "", true) }
