package queryapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A modelNode is a query service with read models in SQL.
type modelNode struct {
	node
	models *modelset.Set
	// folder has the definitions, and dir the files that the models are in.
	folder, dir string
	main        *projections.Projection
}

// newModelNode starts a node with models. role, if not empty, is that of all callers, who then have
// to be authenticated.
func newModelNode(t *testing.T, role string, files map[string]string) modelNode {
	t.Helper()
	broker := servicetest.StartBroker(t)
	log := broker.OpenLog()
	if _, err := log.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	set := servicetest.Collections(t)
	p, err := projections.Open(t.Context(), projections.Options{Dir: t.TempDir(), Log: log, Collections: set, Journal: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name+".sql"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	models, err := modelset.Open(t.Context(), modelset.Options{Folder: folder, Dir: dir, Collections: []string{"orders", "users"}, Source: modelset.FromJournal(p), WatchInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := models.Close(); err != nil {
			t.Error(err)
		}
		stop()
		<-ran
		_ = p.Close()
	})
	a := &queryapi.API{Log: log, Model: p, Collections: set, Default: events.Strong, Wait: 5 * time.Second, MaxLag: time.Minute, Models: models, Secured: role != "", FeedTiming: changes.Timing{Heartbeat: 20 * time.Millisecond}}
	e := servicetest.Echo(web.Options{Callers: func(*http.Request) (caller.Caller, error) {
		if role == "" {
			return caller.Anonymous, nil
		}
		return caller.Caller{Name: "tester", Roles: []string{role}}, nil
	}})
	contract.Mount(e, a.Routes())
	n := modelNode{node{e, t, broker, log, nil}, models, folder, dir, p}
	for end := servicetest.Context(t); p.Ready(time.Minute) != nil; time.Sleep(time.Millisecond) {
		if end.Err() != nil {
			t.Fatal(p.Ready(time.Minute))
		}
	}
	for _, m := range models.All() {
		for end := servicetest.Context(t); m.Status().Serving == nil; time.Sleep(time.Millisecond) {
			if end.Err() != nil {
				t.Fatalf("got no build of %s, want one", m.Name())
			}
		}
	}
	return n
}

// change appends a further event of a user.
func (n modelNode) change(log *eventlog.Log, kind events.Kind, id string, version int64, document string) events.Position {
	n.t.Helper()
	e := events.Event{ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: version, Time: time.Now().UTC().Truncate(time.Millisecond)}
	if document != "" {
		e.Document = []byte(document)
	}
	at, err := log.Append(servicetest.Context(n.t), e)
	if err != nil {
		n.t.Fatal(err)
	}
	return at
}

const people = `CREATE TABLE people (id TEXT PRIMARY KEY, n INTEGER NOT NULL, name TEXT NOT NULL, even BOOLEAN, doc JSON, half REAL, seen TIMESTAMP, before TEXT);
CREATE TABLE _hidden (x);
CREATE VIEW parities AS SELECT n % 2 AS parity, n % 2 = 0 AS even FROM people;
-- on: users.created, users.updated
INSERT OR REPLACE INTO people VALUES (:id, CAST(substr(:document ->> 'email', 2, instr(:document ->> 'email', '@') - 2) AS INTEGER), :document ->> 'name', NULL, :document, NULL, :time, :previous ->> 'name');
UPDATE people SET even = n % 2 = 0, half = n / 2.0 WHERE id = :id AND n <> 5;
-- on: users.deleted
DELETE FROM people WHERE id = :id;
-- query: named(prefix text, least integer = 0)
SELECT name, n AS number, n = 2 AS two FROM people WHERE name LIKE :prefix || '%' AND n >= :least ORDER BY n DESC;
-- query: bad(pattern text)
SELECT json_extract('{}', :pattern) AS found FROM people;
`

func decoded(t *testing.T, r *http.Response) (all []map[string]any) {
	t.Helper()
	body := servicetest.Body(t, r)
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("got %s: %v", body, err)
	}
	return all
}

func TestRowsOfAModel(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people})
	var ids []string
	for i := range 7 {
		id, _ := n.created(i)
		ids = append(ids, id)
	}
	n.change(n.log, events.Updated, ids[2], 2, `{"name":"Two","email":"u2@example.com"}`)
	at := n.change(n.log, events.Deleted, ids[6], 2, "")

	for path, want := range map[string]string{
		"people?sort=n&fields=n":                                  `[{"n":0},{"n":1},{"n":2},{"n":3},{"n":4},{"n":5}]`,
		"people?n=2":                                              fmt.Sprintf(`[{"id":%q,"n":2,"name":"Two","even":true,"doc":{"name":"Two","email":"u2@example.com"},"half":1,"seen":"x","before":"N2"}]`, ids[2]),
		"people?even=true&fields=n&sort=-n":                       `[{"n":4},{"n":2},{"n":0}]`,
		"people?even[exists]=false&fields=n":                      `[{"n":5}]`,
		"people?sort=even,-n&fields=n":                            `[{"n":5},{"n":3},{"n":1},{"n":4},{"n":2},{"n":0}]`,
		"people?half[gte]=1.5&fields=n,half&sort=n":               `[{"n":3,"half":1.5},{"n":4,"half":2}]`,
		"people?name[prefix]=N&name[ne]=N0&fields=name&sort=name": `[{"name":"N1"},{"name":"N3"},{"name":"N4"},{"name":"N5"}]`,
		"people?n[in]=1,3&fields=n&sort=n":                        `[{"n":1},{"n":3}]`,
		"people?seen[lt]=2026-11-24T12:00:01Z&fields=n":           `[{"n":0}]`,
		"parities?sort=parity&even=1":                             `[{"parity":0,"even":1},{"parity":0,"even":1},{"parity":0,"even":1}]`,
		"named?prefix=N&least=3":                                  `[{"name":"N5","number":5,"two":0},{"name":"N4","number":4,"two":0},{"name":"N3","number":3,"two":0}]`,
		"named?prefix=T&fields=two":                               `[{"two":1}]`,
		"named?prefix=&limit=1&fields=number":                     `[{"number":5}]`,
	} {
		r := n.get("/models/m/"+path, 200)
		body := servicetest.Body(t, r)
		if strings.Contains(want, `"seen":"x"`) {
			body = strings.Replace(body, body[strings.Index(body, `"seen":"`):strings.Index(body, `,"before"`)], `"seen":"x"`, 1)
		}
		if body != want {
			t.Errorf("GET %s: got %s, want %s", path, body, want)
		}
		if got := r.Header.Get("Clusterlite-Position"); got != strconv.FormatInt(int64(at), 10) || r.Header.Get("Clusterlite-Consistency") != "strong" {
			t.Errorf("GET %s: got position %s and %q, want %d and strong", path, got, r.Header.Get("Clusterlite-Consistency"), at)
		}
	}
	if got := n.get("/models/m/people?count=true&limit=1&even=true", 200).Header.Get("Total-Count"); got != "3" {
		t.Errorf("got Total-Count %s, want 3", got)
	}
	lines := servicetest.Body(t, n.get("/models/m/people?sort=n&fields=n", 200, "Accept: application/x-ndjson"))
	if want := "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n"; lines != want {
		t.Errorf("got lines %q, want %q", lines, want)
	}
}

// TestJSONOfAModelIsOnOneLine checks JSON text that a model stores with line breaks.
func TestJSONOfAModelIsOnOneLine(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": "CREATE TABLE t (doc JSON);\nINSERT INTO t VALUES ('{' || char(13, 10) || ' \"a\": \"b c\" }');"})
	if lines, want := servicetest.Body(t, n.get("/models/m/t", 200, "Accept: application/x-ndjson")), "{\"doc\":{\"a\":\"b c\"}}\n"; lines != want {
		t.Errorf("got lines %q, want %q", lines, want)
	}
}

// TestPagesOfAModel walks through all rows, in several orders, with equal rows and missing values.
func TestPagesOfAModel(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people})
	for i := range 9 {
		n.created(i)
	}
	for _, list := range []string{"people?", "people?sort=even", "people?sort=-even,n", "people?sort=even.nullslast", "people?sort=-half", "parities?", "parities?sort=-parity", "parities?even=1"} {
		whole := decoded(t, n.get("/models/m/"+list+"&limit=100", 200))
		for _, limit := range []int{1, 2, 4} {
			var pages []map[string]any
			next := "/models/m/" + list + "&limit=" + strconv.Itoa(limit)
			for next != "" {
				r := n.get(next, 200)
				pages = append(pages, decoded(t, r)...)
				next, _, _ = strings.Cut(strings.TrimPrefix(r.Header.Get("Link"), "<"), ">")
			}
			if fmt.Sprint(pages) != fmt.Sprint(whole) || len(whole) < 5 {
				t.Errorf("%s by %d: got %v, want %v", list, limit, pages, whole)
			}
		}
	}
}

func TestATagOfAModel(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people, "other": "CREATE TABLE t (x);\n-- on: orders.created\nINSERT INTO t VALUES (1);"})
	n.created(1)
	people, other := n.get("/models/m/people", 200).Header.Get("Etag"), n.get("/models/other/t", 200).Header.Get("Etag")
	n.get("/models/m/people", 304, "If-None-Match: "+people)
	n.created(2)
	n.get("/models/m/people", 200, "If-None-Match: "+people)
	n.get("/models/other/t", 304, "If-None-Match: "+other)
}

func TestBadRequestsToAModel(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people})
	n.created(1)
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"x/people":                   {404, "No read model"},
		"m/peple":                    {404, `Did you mean \"people\"?`},
		"m/_hidden":                  {404, "no table, view or query"},
		"m/_clusterlite":             {404, "no table, view or query"},
		"m/people?x=1":               {400, "x"},
		"m/people?n=x":               {400, "n must be an integer"},
		"m/people?sort=x":            {400, "sort: unknown member"},
		"m/people?after=x":           {400, "after must be a cursor"},
		"m/named":                    {400, "needs the parameter prefix"},
		"m/named?prefix=N&least=x":   {400, "least must be an integer"},
		"m/named?prefix=N&sort=name": {400, "sort"},
		"m/bad?pattern=x":            {400, "can't be run with these parameters"},
		"m/people?n=" + url.QueryEscape("1) OR (1=1"): {400, "n must be an integer"},
	} {
		r := n.get("/models/"+path, want.status)
		if body := servicetest.Body(t, r); !strings.Contains(body, want.text) {
			t.Errorf("GET %s: got %s, want %q", path, body, want.text)
		}
	}
}

// TestAStoppedModel checks that the last good state is served, and that it says so.
func TestAStoppedModel(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": "CREATE TABLE t (n INTEGER CHECK (n <> 1));\n-- on: users.created\nINSERT INTO t VALUES (substr(:document ->> 'name', 2));"})
	_, good := n.created(0)
	n.get("/models/m/t", 200)
	_, bad := n.created(1)
	r := n.get("/models/m/t", 200)
	if got := servicetest.Body(t, r); got != `[{"n":0}]` || r.Header.Get("Clusterlite-Consistency") != "eventual" || r.Header.Get("Clusterlite-Position") != strconv.Itoa(int(bad-1)) {
		t.Errorf("got %s with consistency %s at position %s, want the first row, eventual, %d", got, r.Header.Get("Clusterlite-Consistency"), r.Header.Get("Clusterlite-Position"), bad-1)
	}
	n.get("/models/m/t", 200, "Clusterlite-Min-Position: "+strconv.Itoa(int(good)))
	for _, header := range []string{"Clusterlite-Consistency: strong", "Clusterlite-Min-Position: " + strconv.Itoa(int(bad))} {
		if body := servicetest.Body(t, n.get("/models/m/t", 503, header)); !strings.Contains(body, "has stopped at position") {
			t.Errorf("%s: got %s, want that the model has stopped", header, body)
		}
	}
}

func TestWhoMayReadAModel(t *testing.T) {
	files := map[string]string{"closed": "CREATE TABLE t (x);", "open": "-- access: 'clerk' in auth.roles\nCREATE TABLE t (x);"}
	for role, want := range map[string][]int{"admin": {200, 200}, "clerk": {403, 200}, "guest": {403, 403}} {
		n := newModelNode(t, role, files)
		got := []int{servicetest.Do(n, "GET", "/models/closed/t", "").StatusCode, servicetest.Do(n, "GET", "/models/open/t", "").StatusCode}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v for closed and open, want %v", role, got, want)
		}
	}
}

// TestModelsAreListed checks that the root and the description have the models, and follow their
// changes.
func TestModelsAreListed(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": "-- People.\n" + people})
	root := servicetest.Body(t, n.get("/", 200))
	if want := `"models":[{"name":"m","description":"People.","reads":[{"name":"parities","href":"/models/m/parities"},{"name":"people","href":"/models/m/people"},{"name":"named","href":"/models/m/named"},{"name":"bad","href":"/models/m/bad"}]}]`; !strings.Contains(root, want) {
		t.Errorf("got %s, want %s", root, want)
	}
	first := n.get("/openapi.json", 200)
	if body := servicetest.Body(t, first); !strings.Contains(body, `"/models/m/people"`) || strings.Contains(body, `"/models/more/t"`) {
		t.Errorf("got %s, want the paths of m alone", body)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- n.models.Run(ctx) }()
	defer func() { stop(); <-ran }()
	if err := os.WriteFile(filepath.Join(n.folder, "more.sql"), []byte("CREATE TABLE t (x);"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := servicetest.Context(t); ; time.Sleep(time.Millisecond) {
		if m, ok := n.models.Get("more"); ok && m.Status().Serving != nil {
			break
		}
		if end.Err() != nil {
			t.Fatal("got no model more in time, want one")
		}
	}
	n.get("/openapi.json", 304, "If-None-Match: "+n.get("/openapi.json", 200).Header.Get("ETag"))
	if body := servicetest.Body(t, n.get("/openapi.json", 200, "If-None-Match: "+first.Header.Get("ETag"))); !strings.Contains(body, `"/models/more/t"`) {
		t.Errorf("got %s, want the paths of the new model", body)
	}
}
