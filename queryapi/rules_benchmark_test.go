package queryapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// ruledUsers are the built-in users with a rule for reads, or without rules.
func ruledUsers(t testing.TB, read string) *collections.Set {
	t.Helper()
	rules := ""
	if read != "" {
		rules = fmt.Sprintf(`"x-access":{"read":%q},`, read)
	}
	dir := t.TempDir()
	schema := `{"title":"users","type":"object",` + rules + `"properties":{"name":{"type":"string","x-index":true},"email":{"type":"string","x-unique":"nocase"},"hidden":{"type":"boolean"}}}`
	if err := os.WriteFile(filepath.Join(dir, "users.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// ruled returns the API of a node for which authentication is on. The caller's name is in the
// header field From; without it the caller is anonymous.
func (n node) ruled(set *collections.Set) http.Handler {
	n.t.Helper()
	policies, err := access.Compile(set)
	if err != nil {
		n.t.Fatal(err)
	}
	a := &queryapi.API{Log: n.log, Model: n.model.Projection, Collections: set, Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute, Access: policies}
	e := servicetest.Echo(web.Options{Callers: func(r *http.Request) (caller.Caller, error) {
		return caller.Caller{Name: r.Header.Get("From"), Claims: map[string]any{}}, nil
	}})
	contract.Mount(e, a.Routes())
	return e
}

// BenchmarkRuled measures reads under a rule that depends on the entity and on the caller. The
// cases named none have no rule.
func BenchmarkRuled(b *testing.B) {
	rules := map[string]string{"none": "", "rule": `old.name == auth.sub`}
	n := newNodeOf(b, ruledUsers(b, ""))
	var id string
	var at events.Position
	for i := range 100 {
		id, at = n.createdWith(fmt.Sprintf(`{"name":"Ada","email":"u%d@example.com"}`, i))
	}
	if err := n.model.WaitFor(b.Context(), at); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"none", "rule"} {
		h := n.ruled(ruledUsers(b, rules[name]))
		for path, next := range map[string]func(i int) string{
			"get":           func(int) string { return "/users/" + id },
			"list":          func(int) string { return "/users?limit=20" },
			"uncached list": func(i int) string { return fmt.Sprintf("/users?limit=20&version[lt]=%d", i+2) },
		} {
			b.Run(path+"/"+name, func(b *testing.B) {
				count := 0
				read := func() {
					r := httptest.NewRequest(http.MethodGet, next(count), nil)
					r.Header.Set(contract.HeaderConsistency, string(events.Eventual))
					r.Header.Set("From", "Ada")
					w := httptest.NewRecorder()
					if h.ServeHTTP(w, r); w.Code != http.StatusOK {
						b.Fatalf("got %d: %s, want 200", w.Code, w.Body)
					}
					count++
				}
				for range 100 { // one-time preparation is not measured
					read()
				}
				b.ReportAllocs()
				for b.Loop() {
					read()
				}
			})
		}
	}
}
