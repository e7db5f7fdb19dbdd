package queryapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/fulltext"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A searchNode is a query service whose users can be searched by name and rank, and things by nothing.
type searchNode struct {
	modelNode
	open  http.Handler // without authentication
	ruled http.Handler // where the header field From is the caller's name
}

func newSearchNode(t *testing.T, journal bool) searchNode {
	t.Helper()
	dir := t.TempDir()
	for name, schema := range map[string]string{
		"users":  `{"title":"users","type":"object","x-access":{"read":"old.owner == auth.sub"},"properties":{"name":{"type":"string","x-search":true},"rank":{"type":["string","null"],"x-search":true},"owner":{"type":"string"}}}`,
		"things": `{"title":"things","type":"object","properties":{"name":{"type":"string"}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fulltext.Definitions(t.Context(), set); errors.Is(err, sqlmodel.ErrNoFullText) {
		t.Skip("needs -tags sqlite_fts5")
	}
	policies, err := access.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	broker := servicetest.StartBroker(t)
	log := broker.OpenLog()
	if _, err := log.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	p, err := projections.Open(t.Context(), projections.Options{Dir: t.TempDir(), Log: log, Collections: set, Journal: journal})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	var models *modelset.Set
	if journal {
		if models, err = sqlmodels.Open(t.Context(), "", t.TempDir(), set, p, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if models != nil {
			if err := models.Close(); err != nil {
				t.Error(err)
			}
		}
		stop()
		<-ran
		_ = p.Close()
	})
	handler := func(rules *access.Policies) http.Handler {
		a := &queryapi.API{Log: log, Model: p, Collections: set, Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute, Models: models, Access: rules, Secured: rules != nil}
		e := servicetest.Echo(web.Options{Callers: func(r *http.Request) (caller.Caller, error) {
			return caller.Caller{Name: r.Header.Get("From"), Claims: map[string]any{}}, nil
		}})
		contract.Mount(e, a.Routes())
		return e
	}
	n := searchNode{modelNode{node: node{handler(nil), t, broker, log, nil}, models: models, main: p}, handler(nil), handler(policies)}
	for end := servicetest.Context(t); p.Ready(time.Minute) != nil || journal && models.All()[0].Status().Serving == nil; time.Sleep(time.Millisecond) {
		if end.Err() != nil {
			t.Fatal("got no readiness in time, want it")
		}
	}
	return n
}

// found returns the names of the entities in the response to a search.
func (n searchNode) found(h http.Handler, query, who string, fields ...string) string {
	n.t.Helper()
	status, _, body := readAs(n.t.(*testing.T), h, who, "/users?"+query, fields...)
	if status != http.StatusOK {
		n.t.Fatalf("GET /users?%s: got %d, want 200: %s", query, status, body)
	}
	var all []struct{ Name string }
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		n.t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return strings.Join(names, ", ")
}

func TestSearch(t *testing.T) {
	n := newSearchNode(t, true)
	ada, _ := n.createdWith(`{"name":"Ada Lovelace","rank":"Countess"}`)
	n.createdWith(`{"name":"Ada","rank":"of the ada and the ada"}`)
	gone, _ := n.createdWith(`{"name":"Ada Gone"}`)
	n.createdWith(`{"name":"<b>José</b> & sons","rank":null,"owner":"ada"}`)
	for query, want := range map[string]string{
		"q=ada":                                 "Ada, Ada Gone, Ada Lovelace",
		"q=ADA+countess":                        "Ada Lovelace",
		"q=jose":                                "<b>José</b> & sons",
		"q=lov*":                                "Ada Lovelace",
		"q=lov":                                 "",
		"q=ada&limit=1":                         "Ada",
		"q=" + url.QueryEscape(`"ada l`):        "",
		"q=" + url.QueryEscape(`"and the ada"`): "Ada",
		"q=" + url.QueryEscape(`name:ada OR NOT ( " - ^`): "",
	} {
		if got := n.found(n.open, query, ""); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	// A read sees every write that was acknowledged before.
	n.change(n.log, events.Updated, ada, 2, `{"name":"Augusta King"}`)
	at := n.change(n.log, events.Deleted, gone, 2, "")
	if got, want := n.found(n.open, "q=ada", "", fmt.Sprintf("Clusterlite-Min-Position: %d", at)), "Ada"; got != want {
		t.Errorf("got %q after a change and a deletion, want %q", got, want)
	}
	if got, want := n.found(n.open, "q=king", ""), "Augusta King"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	n.createdWith(`{"name":"Ada Back"}`)
	r := n.get("/users?q=ada&count=true&limit=1", 200)
	if got := r.Header.Get("Total-Count"); got != "2" || r.Header.Get("Clusterlite-Consistency") != "strong" || r.Header.Get("Clusterlite-Position") == "" {
		t.Errorf("got Total-Count %s, consistency %s, position %s, want 2, strong and a position", got, r.Header.Get("Clusterlite-Consistency"), r.Header.Get("Clusterlite-Position"))
	}
	n.get("/users?q=ada&count=true&limit=1", 304, "If-None-Match: "+r.Header.Get("ETag"))
	body := servicetest.Body(t, n.get("/users?q=sons&highlight=true&fields=owner", 200))
	var marked []struct {
		Highlights map[string]string `json:"_highlights"`
	}
	if err := json.Unmarshal([]byte(body), &marked); err != nil || len(marked) != 1 {
		t.Fatalf("got %s, %v, want one entity", body, err)
	}
	if got, want := fmt.Sprint(marked[0].Highlights), "map[name:&lt;b&gt;José&lt;/b&gt; &amp; <mark>sons</mark>]"; got != want {
		t.Errorf("got highlights %s, want %s", got, want)
	}
	if body := servicetest.Body(t, n.get("/users?q=sons&highlight=true&fields=rank", 200)); !strings.Contains(body, `_highlights`) {
		t.Errorf("got %s, want highlights", body)
	}
}

// TestSearchUnderARule checks that callers neither get nor count what they may not read.
func TestSearchUnderARule(t *testing.T) {
	n := newSearchNode(t, true)
	for i := range 6 {
		n.createdWith(fmt.Sprintf(`{"name":"note %d","owner":%q}`, i, []string{"ada", "bob"}[i%2]))
	}
	moved, _ := n.createdWith(`{"name":"note secret","owner":"ada"}`)
	n.change(n.log, events.Updated, moved, 2, `{"name":"note open","owner":"bob"}`)
	for who, want := range map[string]string{"ada": "note 0, note 2, note 4", "bob": "note 1, note 3, note 5, note open", "eve": ""} {
		status, header, _ := readAs(t, n.ruled, who, "/users?q=note&count=true&limit=1")
		if count := fmt.Sprint(len(strings.FieldsFunc(want, func(r rune) bool { return r == ',' }))); status != http.StatusOK || header.Get("Total-Count") != count {
			t.Errorf("%s: got %d with a count of %s, want %s", who, status, header.Get("Total-Count"), count)
		}
		names := strings.Split(n.found(n.ruled, "q=note", who), ", ")
		for _, name := range names {
			if !strings.Contains(want, name) {
				t.Errorf("%s: got %q, want only %q", who, name, want)
			}
		}
		if got := strings.Join(names, ", "); len(got) != len(want) {
			t.Errorf("%s: got %q, want %q in any order", who, got, want)
		}
	}
	if got := n.found(n.ruled, "q=secret", "bob"); got != "" {
		t.Errorf("got %q by a word of an earlier version, want nothing", got)
	}
	if status, _, _ := readAs(t, n.ruled, "", "/users?q=note"); status != http.StatusUnauthorized {
		t.Errorf("anonymous: got %d, want 401", status)
	}
}

// next returns the path in the Link of a response, or an empty text.
func next(header http.Header) string {
	path, _, _ := strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
	return path
}

// TestPagesOfASearch checks that the pages together are the whole result, also under a rule, and that
// writes between the pages move only what they change.
func TestPagesOfASearch(t *testing.T) {
	n := newSearchNode(t, true)
	ids := map[string]string{}
	for i := range 9 {
		name := fmt.Sprintf("note %d%s", i, strings.Repeat(" word", i))
		ids[name], _ = n.createdWith(fmt.Sprintf(`{"name":%q,"owner":%q}`, name, []string{"ada", "bob"}[i%2]))
	}
	for who, h := range map[string]http.Handler{"": n.open, "ada": n.ruled, "bob": n.ruled} {
		whole := n.found(h, "q=note&limit=100", who)
		for _, limit := range []int{1, 2, 3, 4, 5, 9} {
			var pages []string
			links := 0
			for path := fmt.Sprintf("/users?q=note&count=true&limit=%d", limit); path != ""; {
				status, header, _ := readAs(t, h, who, path)
				if count := fmt.Sprint(strings.Count(whole, "note")); status != http.StatusOK || header.Get("Total-Count") != count {
					t.Fatalf("%s: %s: got %d with a count of %s, want %s", who, path, status, header.Get("Total-Count"), count)
				}
				pages = append(pages, n.found(h, strings.TrimPrefix(path, "/users?"), who))
				path = next(header)
				links++
			}
			if got, want := strings.Join(pages, ", "), (strings.Count(whole, "note")+limit-1)/limit; got != whole || links != want {
				t.Errorf("%s by %d: got %q on %d pages, want %q on %d", who, limit, got, links, whole, want)
			}
		}
	}
	// The last entity of a page does not match any longer.
	whole := strings.Split(n.found(n.open, "q=note", ""), ", ")
	_, header, _ := readAs(t, n.open, "", "/users?q=note&limit=3")
	page := next(header)
	n.change(n.log, events.Deleted, ids[whole[2]], 2, "")
	if got, want := n.found(n.open, strings.TrimPrefix(page, "/users?"), ""), strings.Join(whole[3:6], ", "); got != want {
		t.Errorf("got %q after the last one was deleted, want %q", got, want)
	}
}

// TestACursorShowsNothing checks that a cursor which names an entity that the caller may not read leads to
// the same page whether or not that entity matches.
func TestACursorShowsNothing(t *testing.T) {
	n := newSearchNode(t, true)
	for i := range 4 {
		n.createdWith(fmt.Sprintf(`{"name":"note %d","owner":"ada"}`, i))
	}
	matches, _ := n.createdWith(`{"name":"note","owner":"bob"}`) // the best match
	other, _ := n.createdWith(`{"name":"diary","owner":"bob"}`)
	expression, err := fulltext.Expression("note")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, id := range []string{matches, other} {
		cursor := listing.EncodeSearchCursor("users", expression, listing.SearchCursor{ID: id, Seen: 3})
		got = append(got, n.found(n.ruled, "q=note&after="+cursor, "ada"))
	}
	if got[0] != got[1] || strings.Count(got[0], "note") != 2 {
		t.Errorf("got %q after a hidden entity that matches and %q after another, want the last two of the caller's for both", got[0], got[1])
	}
}

func TestBadSearches(t *testing.T) {
	n := newSearchNode(t, true)
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/users?q=":                      {400, "at least one word"},
		"/users?q=-":                     {400, "at least one word"},
		"/users?q=a&sort=name":           {400, "sort"},
		"/users?q=a&name=x":              {400, "name"},
		"/users?q=a&after=x":             {400, "after must be a cursor from a Link field of this search"},
		"/users?q=a&highlight=1":         {400, "highlight must be"},
		"/users?q=a&limit=x":             {400, "limit"},
		"/users?highlight=true":          {400, "highlight"},
		"/things?q=a":                    {400, "none of its properties is declared with x-search"},
		"/models/_search_users/hits?q=a": {404, "No read model"},
	} {
		if body := servicetest.Body(t, n.get(path, want.status)); !strings.Contains(body, want.text) {
			t.Errorf("GET %s: got %s, want %q", path, body, want.text)
		}
	}
	n.get("/users?q=a", 406, "Accept: application/json;q=0")
	if body := servicetest.Body(t, n.get("/", 200)) + servicetest.Body(t, n.get("/openapi.json", 200)); strings.Contains(body, "_search_users") {
		t.Error("got the program's own model in the root or the description, want none")
	}
	without := newSearchNode(t, false)
	if body := servicetest.Body(t, without.get("/users?q=a", 501)); !strings.Contains(body, "search-unavailable") || !strings.Contains(body, "no journal") {
		t.Errorf("got %s, want search-unavailable", body)
	}
}
