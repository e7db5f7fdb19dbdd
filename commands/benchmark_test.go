package commands_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/projections/preparations"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// BenchmarkDecide measures the decision alone: a command and a state give an event.
func BenchmarkDecide(b *testing.B) {
	c := create(b, "ada@example.com")
	stamp := commands.Stamp{EventID: id, Now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), Source: "/test"}
	b.ReportAllocs()
	for b.Loop() {
		if _, rejection := commands.Decide(c, commands.State{}, stamp); rejection != nil {
			b.Fatal(rejection)
		}
	}
}

// BenchmarkPost measures one write at a time, from the request to the response: it is decided,
// appended, read back, admitted and committed. The allocations are those of the whole process,
// including the embedded broker.
func BenchmarkPost(b *testing.B) {
	s := newService(b, servicetest.StartBroker(b), 10*time.Second)
	e := servicetest.Echo(web.Options{})
	a := &commands.API{Executor: s.Executor, Collections: servicetest.Collections(b), MaxBody: 1 << 20, SpoolDir: b.TempDir()}
	contract.Mount(e, a.Routes())
	n := 0
	write := func() {
		n++
		r := httptest.NewRequest(http.MethodPost, "/users", strings.NewReader(fmt.Sprintf(`{"name":"Ada","email":"u%d@example.com"}`, n)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); w.Code != http.StatusCreated {
			b.Fatalf("got %d: %s, want 201", w.Code, w.Body)
		}
	}
	for range 100 { // one-time preparation is not measured
		write()
	}
	b.ReportAllocs()
	before := preparations.Count()
	for b.Loop() {
		write()
	}
	b.ReportMetric(float64(preparations.Count()-before)*1000/float64(b.N), "prepared/1000op")
}

// BenchmarkPostsOfManyClients measures writes of 64 clients at once, like BenchmarkPost.
func BenchmarkPostsOfManyClients(b *testing.B) {
	s := newService(b, servicetest.StartBroker(b), 10*time.Second)
	e := servicetest.Echo(web.Options{})
	a := &commands.API{Executor: s.Executor, Collections: servicetest.Collections(b), MaxBody: 1 << 20, SpoolDir: b.TempDir()}
	contract.Mount(e, a.Routes())
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			r := httptest.NewRequest(http.MethodPost, "/users", strings.NewReader(fmt.Sprintf(`{"name":"Ada","email":"u%d@example.com"}`, n.Add(1))))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if e.ServeHTTP(w, r); w.Code != http.StatusCreated {
				b.Errorf("got %d: %s, want 201", w.Code, w.Body)
				return
			}
		}
	})
}
