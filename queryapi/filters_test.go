package queryapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

const tasks = `"due":{"type":["string","null"],"format":"date-time","x-index":true},"n":{"type":"integer","x-index":true},"weight":{"type":"number","x-index":true},"done":{"type":"boolean"},"mail":{"type":"string","x-unique":"nocase"}`

// put appends entities of a collection. Their ids count from 1.
func (n node) put(collection string, docs ...string) {
	n.t.Helper()
	var batch []events.Event
	for i, doc := range docs {
		batch = append(batch, events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: collection, EntityID: productID(i + 1), Kind: events.Created, Version: 1,
			Time: time.Date(2026, 11, 24, 12, 0, i, 0, time.UTC), Document: []byte(doc),
		})
	}
	n.append(batch...)
}

// numbers returns the numbers of put's entities that a list has, in the order of the list.
func (n node) numbers(path string) (numbers []int) {
	n.t.Helper()
	numbers = []int{}
	for _, id := range n.ids(path, nil) {
		var i int
		if _, err := fmt.Sscanf(id, "0193a1a0-0000-7000-8000-%012x", &i); err != nil {
			n.t.Fatal(err)
		}
		numbers = append(numbers, i)
	}
	return numbers
}

// A filter compares values, however they are written in the query and in the document.
func TestFiltersCompareValues(t *testing.T) {
	n := newNodeOf(t, declared(t, map[string]string{"tasks": tasks}))
	n.put("tasks",
		`{"n":9007199254740993,"weight":1e400,"mail":"Ada@Example.COM","due":"2026-01-01T00:00:00+02:00"}`,
		`{"n":9007199254740992,"weight":0.226040073496585572377533184419157460,"mail":"straße@x","due":null}`,
		`{"n":123456789012345678901234567890,"weight":9007199254740993,"done":false,"mail":"É@x","due":"a b"}`,
		`{"n":null,"weight":-1e400,"done":true}`,
	)
	for query, want := range map[string][]int{
		"n=9007199254740993": {1}, "n=9007199254740993.0": {1}, "n=9007199254740993e0": {1}, "n=90071992547409930e-1": {1}, "n=9007199254740992": {2},
		"n[in]=9007199254740993.0,1": {1}, "n[gt]=9007199254740992.0&sort=n": {1, 3}, "n=123456789012345678901234567890": {3}, "n=123456789012345678901234567890.0": {3}, "n[in]=123456789012345678901234567890": {3}, "n[gte]=1e29": {3}, "n[lt]=1e30": {1, 2, 3},
		"weight=1e400": {1}, "weight=1e999": {1}, "weight[in]=1e400,-1e400": {1, 4}, "weight=0.226040073496585572377533184419157460": {2}, "weight[in]=0.226040073496585572377533184419157460": {2},
		"weight=9007199254740993": {3}, "weight=9007199254740993.0": {3}, "weight[gt]=9007199254740992": {1}, "weight[lt]=-1e308": {4},
		// Texts are compared as uniqueness compares them.
		"mail=ada@example.com": {1}, "mail=ADA@EXAMPLE.COM": {1}, "mail[in]=ADA@example.com,É@X": {1, 3}, "mail[prefix]=aDa@": {1}, "mail[prefix]=STRASS": {2}, "mail=STRASSE@X": {2},
		"mail=e" + "\u0301" + "@X": {3}, "mail[ne]=ada@example.com": {2, 3, 4}, "mail[ne]=ADA@example.com&mail[exists]=true": {2, 3},
		// Ranges compare bytes, as sorts do.
		"mail[lt]=a": {1}, "mail[gte]=s&sort=-mail": {3, 2},
		// A property is missing or null.
		"due[exists]=true": {1, 3}, "due[exists]=false": {2, 4}, "n[exists]=false": {4}, "done[exists]=false": {1, 2}, "done[exists]=true&done=false": {3}, "due=null": nil, "n=null": nil, "mail[in]=null": {},
		"sort=due": {2, 4, 1, 3}, "sort=due.nullslast": {1, 3, 2, 4}, "sort=-due": {3, 1, 4, 2}, "sort=-due.nullsfirst": {4, 2, 3, 1}, "sort=due.nullsfirst": {2, 4, 1, 3}, "sort=-due.nullslast": {3, 1, 4, 2},
		"sort=done.nullslast,-n.nullsfirst": {3, 4, 1, 2},
		// Times have any precision.
		"created_at=2026-11-24t12:00:00z": {1}, "created_at[gt]=2026-11-24T14:00:00.9999999%2B02:00": {2, 3, 4}, "created_at[gte]=2026-11-24T12:00:01.0000001Z": {3, 4}, "created_at[lt]=2026-11-24T12:00:01.0000001Z": {1, 2},
		"created_at[in]=2026-11-24T12:00:01.0005Z,2026-11-24T12:00:02.000Z": {3}, "created_at[gte]=2026-11-24T11:59:60Z": nil, "created_at[lt]=2026-11-23T23:59:60Z": {},
		"due=2026-01-01T00:00:00%2B02:00": {1}, "due=a+b": {3},
	} {
		name, value, _ := strings.Cut(query, "=")
		if want == nil {
			n.get("/tasks?"+url.PathEscape(name)+"="+value, 400)
			continue
		}
		for _, limit := range []string{"", "&limit=1"} {
			path := "/tasks?" + strings.NewReplacer("é", "%C3%A9", "É", "%C3%89", "\u0301", "%CC%81").Replace(query) + limit
			if got := n.numbers(path); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", path, got, want)
			}
		}
	}
	for query, says := range map[string]string{
		"created_at[gt]=2026-01-01T00:00:00+02:00": "%2B", "due[gte]=2026-01-01T00:00:00+02:00": "%2B", "weight=1e+3": "%2B", "weight=1e1001": "exponent from -1000 to 1000",
		"id[exists]=true": "Unknown query parameter", "due=null": "due[exists]=false", "n[ne]=null": "n[exists]=false", "version=null": "every entity has this member", "due[exists]=yes": "true or false", "sort=due.nullslst": "nullslast",
	} {
		if body := servicetest.Body(t, n.get("/tasks?"+query, 400)); !strings.Contains(body, says) {
			t.Errorf("%s: got %s, want %q in it", query, body, says)
		}
	}
}

// A client that finds a value taken, in whatever case, finds its holder by a filter.
func TestTheHolderOfAUniqueValueIsFound(t *testing.T) {
	n := newNode(t)
	id, _ := n.created(7) // u7@example.com
	for _, email := range []string{"u7@example.com", "U7@Example.COM"} {
		if ids := n.ids("/users?email="+email, nil); !slices.Equal(ids, []string{id}) {
			t.Errorf("%s: got %v, want %s", email, ids, id)
		}
	}
}

// A link to a page is rejected if a column of the sort has changed its type since and the link
// would lead to the wrong place.
func TestALinkAfterAChangeOfType(t *testing.T) {
	set := declared(t, map[string]string{"tasks": `"n":{"type":"number"}`})
	n := newNodeOf(t, set)
	n.put("tasks", `{"n":1}`, `{"n":2}`, `{"n":3}`)
	link := n.get("/tasks?sort=n&limit=1", 200).Header.Get("Link")
	next := strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
	n.get(next, 200)
	for properties, status := range map[string]int{
		`"n":{"type":"string"}`: 400, `"n":{"type":"integer"}`: 400, `"m":{"type":"number"}`: 400,
		`"n":{"type":"number","x-index":true},"m":{"type":"string"}`: 200,
	} {
		set := declared(t, map[string]string{"tasks": properties})
		later := node{serving(n.log, servicetest.OpenModel(t, n.log, set).Follow(), set), t, n.broker, n.log, nil}
		if body := servicetest.Body(t, later.get(next, status)); status == 400 && !strings.Contains(body, "earlier definition of the list") && !strings.Contains(properties, `"m":{"type":"number"}`) {
			t.Errorf("%s: got %s, want that the cursor belongs to an earlier definition", properties, body)
		}
	}
}

// Writes to other collections do not change the tag of a list. A write to its own collection and
// another definition of it do.
func TestTheTagOfAListDependsOnItsCollection(t *testing.T) {
	properties := map[string]string{"tasks": `"n":{"type":"number"}`, "notes": `"n":{"type":"number"}`}
	set := declared(t, properties)
	n := newNodeOf(t, set)
	empty := n.get("/tasks", 200).Header.Get("ETag")
	n.put("tasks", `{"n":1}`)
	tag := n.get("/tasks", 200).Header.Get("ETag")
	if tag == empty {
		t.Errorf("got the tag %s before and after the first write, want two tags", tag)
	}
	n.put("notes", `{"n":1}`, `{"n":2}`)
	again := n.get("/tasks", 304, "If-None-Match: "+tag)
	if notes := n.get("/notes", 200); again.Header.Get("ETag") != tag || again.Header.Get(contract.HeaderPosition) != notes.Header.Get(contract.HeaderPosition) {
		t.Errorf("after writes to another collection: got %v, want the tag %s and the position %s", again.Header, tag, notes.Header.Get(contract.HeaderPosition))
	}
	n.get("/notes", 200, "If-None-Match: "+tag)
	// Another node, which built its file in different batches, gives the same tag.
	other := node{serving(n.log, servicetest.OpenModel(t, n.log, set).Follow(), set), t, n.broker, n.log, nil}
	other.get("/tasks", 304, "If-None-Match: "+tag)
	// The same rows under another definition are another list.
	properties["tasks"] = `"n":{"type":"string"}`
	set = declared(t, properties)
	later := node{serving(n.log, servicetest.OpenModel(t, n.log, set).Follow(), set), t, n.broker, n.log, nil}
	later.get("/tasks", 200, "If-None-Match: "+tag)
	n.append(events.Event{ID: uuid.NewString(), Source: "/test", Collection: "tasks", EntityID: productID(1), Kind: events.Deleted, Version: 2, Time: time.Unix(1, 0)})
	n.get("/tasks", 200, "If-None-Match: "+tag+", "+empty)
}
