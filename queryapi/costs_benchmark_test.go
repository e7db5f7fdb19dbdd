package queryapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/preparations"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

// BenchmarkGet measures one read at each consistency, through everything but the network.
func BenchmarkGet(b *testing.B) {
	n := newNode(b)
	id, at := n.created(1)
	for i := range 99 {
		_, at = n.created(i + 2)
	}
	if err := n.model.WaitFor(b.Context(), at); err != nil {
		b.Fatal(err)
	}
	for _, level := range []events.Consistency{events.Eventual, events.Strong, events.Linearizable} {
		b.Run(string(level), func(b *testing.B) { measureReads(b, n, "/users/"+id, level) })
	}
	b.Run("list of 20", func(b *testing.B) { measureReads(b, n, "/users?limit=20", events.Eventual) })
}

// measureReads reports allocations and the number of statements that SQLite compiles for a thousand
// reads.
func measureReads(b *testing.B, h http.Handler, path string, level events.Consistency) {
	b.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set(contract.HeaderConsistency, string(level))
	read := func() {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatalf("got %d: %s, want 200", w.Code, w.Body)
		}
	}
	for range 100 { // one-time preparation is not measured
		read()
	}
	b.ReportAllocs()
	before := preparations.Count()
	for b.Loop() {
		read()
	}
	b.ReportMetric(float64(preparations.Count()-before)*1000/float64(b.N), "prepared/1000op")
}
