package queryapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// readAs reads a path as a caller.
func readAs(t *testing.T, h http.Handler, who, path string, fields ...string) (int, http.Header, string) {
	t.Helper()
	if who != "" {
		fields = append(fields, "From: "+who)
	}
	r := servicetest.Do(h, http.MethodGet, path, "", fields...)
	return r.StatusCode, r.Header, servicetest.Body(t, r)
}

// Callers who may read different entities do not share pages, and those who may read everything
// get the same response as without rules.
func TestPagesUnderARule(t *testing.T) {
	set := ruledUsers(t, `old.name == auth.sub || auth.sub == "all"`)
	n := newNodeOf(t, set)
	h := n.ruled(set)
	var at events.Position
	for i := range 6 {
		_, at = n.createdWith(fmt.Sprintf(`{"name":%q,"email":"u%d@example.com"}`, []string{"ada", "bob"}[i%2], i))
	}
	if err := n.model.WaitFor(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from the cache
		tags := map[string]bool{}
		for who, want := range map[string]string{"ada": "3", "bob": "3", "all": "6", "eve": "0"} {
			status, header, body := readAs(t, h, who, "/users?count=true&limit=2")
			if status != http.StatusOK || header.Get("Total-Count") != want {
				t.Errorf("%s: got %d and a count of %s, want %s: %s", who, status, header.Get("Total-Count"), want, body)
			}
			if tag := header.Get("ETag"); tags[tag] || tag == "" {
				t.Errorf("%s: got the tag %q, want one of its own", who, tag)
			} else if tags[tag] = true; tag != "" {
				if status, _, _ := readAs(t, h, who, "/users?count=true&limit=2", "If-None-Match: "+tag); status != http.StatusNotModified {
					t.Errorf("%s: with its tag: got %d, want 304", who, status)
				}
			}
		}
		if status, header, _ := readAs(t, h, "", "/users"); status != http.StatusUnauthorized || header.Get("WWW-Authenticate") == "" {
			t.Errorf("anonymous: got %d, want 401", status)
		}
	}
	_, all, body := readAs(t, h, "all", "/users")
	open := servicetest.Do(n, http.MethodGet, "/users", "")
	if servicetest.Body(t, open) != body || open.Header.Get("ETag") != all.Get("ETag") {
		t.Error("got another response for a caller who may read everything than without rules")
	}
}

// A page is cached under the rule, and changes with what its reader may read.
func TestAPageUnderARuleFollowsWrites(t *testing.T) {
	set := ruledUsers(t, `old.name == auth.sub`)
	n := newNodeOf(t, set)
	h := n.ruled(set)
	for i := range 4 {
		if _, header, body := readAs(t, h, "ada", "/users?count=true"); header.Get("Total-Count") != fmt.Sprint(i) {
			t.Errorf("after %d writes: got a count of %s: %s", i, header.Get("Total-Count"), body)
		}
		_, at := n.createdWith(fmt.Sprintf(`{"name":"ada","email":"u%d@example.com"}`, i))
		if err := n.model.WaitFor(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if _, header, body := readAs(t, h, "ada", "/users?count=true"); header.Get("Total-Count") != fmt.Sprint(i+1) {
			t.Errorf("after %d writes: got a count of %s: %s", i+1, header.Get("Total-Count"), body)
		}
	}
}
