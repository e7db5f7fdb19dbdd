package queryapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

// A sink takes a response and keeps only its status.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// ask makes a handler answer a request again and again, without a network.
func ask(b *testing.B, h http.Handler, path string, consistency events.Consistency) {
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set(contract.HeaderConsistency, string(consistency))
	w := &sink{}
	b.ReportAllocs()
	for b.Loop() {
		w.header = make(http.Header)
		if h.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatalf("GET %s: got status %d, want 200", path, w.status)
		}
	}
}

// BenchmarkEntity measures a read by id through everything but the network. It includes what each
// request costs for metrics, ids and spans that no exporter asked for. The bare handler shows the
// minimum.
func BenchmarkEntity(b *testing.B) {
	n := newNode(b)
	id, at := n.created(1)
	if err := n.model.WaitFor(b.Context(), at); err != nil {
		b.Fatal(err)
	}
	for _, consistency := range []events.Consistency{events.Eventual, events.Strong, events.Linearizable} {
		b.Run(string(consistency), func(b *testing.B) { ask(b, n, "/users/"+id, consistency) })
	}
	b.Run("bare", func(b *testing.B) {
		e := echo.New()
		e.GET("/users/:id", func(c echo.Context) error {
			h := c.Response().Header()
			h["Etag"], h["Last-Modified"], h["Clusterlite-Position"] = []string{`"1"`}, []string{"Sun, 22 Nov 2026 12:00:00 GMT"}, []string{"10000"}
			return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, []byte(`{"id":"0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"}`))
		})
		ask(b, e, "/users/"+id, events.Eventual)
	})
}

// BenchmarkList measures a page of a list, in the order of ids.
func BenchmarkList(b *testing.B) {
	n := newNode(b)
	for i := range 200 {
		_, at := n.created(i)
		if err := n.model.WaitFor(b.Context(), at); err != nil {
			b.Fatal(err)
		}
	}
	for _, limit := range []int{20, 100} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) { ask(b, n, fmt.Sprint("/users?limit=", limit), events.Eventual) })
	}
}
