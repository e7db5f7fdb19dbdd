package queryapi_test

import (
	"net/http/httptest"
	"testing"

	"github.com/clusterlite/clusterlite/service/api"
)

// A read by id through everything but the network: what each request pays for metrics,
// ids, and spans that nobody asked for.
func BenchmarkEntity(b *testing.B) {
	n := newNode(b)
	id, at := n.created(1)
	if err := n.model.WaitFor(b.Context(), at); err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/users/"+id, nil)
	r.Header.Set(api.HeaderConsistency, string(api.Eventual))
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if n.ServeHTTP(w, r); w.Code != 200 {
			b.Fatalf("got %d: %s", w.Code, w.Body)
		}
	}
}
