package queryapi_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A page from the cache is answered like one that was read, and is not used after its collection
// has changed.
func TestACachedPageIsAnsweredAsOneThatWasRead(t *testing.T) {
	n := newNode(t)
	for i := range 5 {
		n.created(i)
	}
	for _, path := range []string{"/users", "/users?limit=2", "/users?limit=2&count=true&sort=-name", "/users?fields=name,id&limit=5"} {
		read := n.get(path, http.StatusOK)
		want, hits := servicetest.Body(t, read), n.model.Cache().PageHits
		var cached *http.Response
		for ctx := servicetest.Context(t); n.model.Cache().PageHits == hits; time.Sleep(time.Millisecond) { // pages are cached once the collection is quiet
			if ctx.Err() != nil {
				t.Fatalf("%s: got no page from the cache, want one", path)
			}
			cached = n.get(path, http.StatusOK)
		}
		if got := servicetest.Body(t, cached); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
		for _, r := range []*http.Response{read, cached} {
			r.Header.Del("X-Request-Id")
		}
		if !maps.EqualFunc(cached.Header, read.Header, slices.Equal) {
			t.Errorf("%s: got %v, want %v", path, cached.Header, read.Header)
		}
		n.get(path, http.StatusNotModified, "If-None-Match: "+read.Header.Get("ETag"))
		if head := servicetest.Do(n, "HEAD", path, ""); head.StatusCode != http.StatusOK || head.Header.Get("ETag") != read.Header.Get("ETag") {
			t.Errorf("HEAD %s: got %d, %v, want 200 and the tag of GET", path, head.StatusCode, head.Header)
		}
	}
	before := servicetest.Body(t, n.get("/users?count=true", http.StatusOK))
	n.created(5)
	r := n.get("/users?count=true", http.StatusOK)
	if got := r.Header.Get("Total-Count"); got != "6" || servicetest.Body(t, r) == before {
		t.Errorf("after a write: got %s entities, want 6 and another page", got)
	}
}
