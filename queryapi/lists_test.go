package queryapi_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func examples(t testing.TB) *collections.Set {
	t.Helper()
	set, err := collections.Load("../examples")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// product returns an event of a product, whatever its schema is today.
func product(id string, kind events.Kind, version int64, doc string) events.Event {
	e := events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "products", EntityID: id, Kind: kind, Version: version,
		Time: time.Date(2026, 11, 24, 12, 0, int(version), 0, time.UTC),
	}
	if kind != events.Deleted {
		e.Document = []byte(doc)
	}
	return e
}

func (n node) append(batch ...events.Event) {
	n.t.Helper()
	if _, err := n.log.Append(servicetest.Context(n.t), batch...); err != nil {
		n.t.Fatal(err)
	}
}

func productID(i int) string { return fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i) }

// odd has values that a document may have in each property, of the type in today's schema or of
// an earlier one.
var odd = map[string][]string{
	"name":     {`"a"`, `"A"`, `"a\u0000b"`, `"\u0000"`, `""`, `"ä"`, `"\ud83d\ude00"`, `"\uffff"`, `"%_'\"\\"`, `"1"`, `1`, `true`, `null`, `["x"]`},
	"price":    {`0`, `-0`, `1e400`, `-1e400`, `1e-400`, `0.1`, `0.30000000000000004`, `1e300`, `12345678901234567890123`, `9007199254740993`, `1234567890123456768`, `"7"`, `"x"`, `null`, `{"a":1}`},
	"stock":    {`0`, `1`, `1.0`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `1e400`, `"x"`, `false`, `null`},
	"sold_out": {`true`, `false`, `null`, `"true"`, `7`},
}

func oddProduct(r *rand.Rand) string {
	var members []string
	for _, name := range []string{"name", "price", "stock", "sold_out"} {
		if r.IntN(4) > 0 {
			members = append(members, fmt.Sprintf("%q:%s", name, odd[name][r.IntN(len(odd[name]))]))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// ids reads a list page by page along its links, and calls between after each page.
func (n node) ids(path string, between func()) (ids []string) {
	n.t.Helper()
	for pages := 0; path != ""; pages++ {
		r := n.get(path, 200)
		var page []struct{ ID string }
		if err := json.Unmarshal([]byte(servicetest.Body(n.t, r)), &page); err != nil {
			n.t.Fatal(err)
		}
		for _, e := range page {
			ids = append(ids, e.ID)
		}
		link := r.Header.Get("Link")
		path = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		if between != nil {
			between()
		}
		if pages > 1000 {
			n.t.Fatal("got more than 1000 pages, want an end of the list")
		}
	}
	return ids
}

// drawSort draws a sort by any columns in any order, with or without the id.
func drawSort(t *rapid.T) string {
	keys := rapid.Permutation([]string{"name", "price", "stock", "sold_out", "sku", "id", "version", "created_at", "updated_at"}).Draw(t, "sort")
	keys = keys[:rapid.IntRange(0, 4).Draw(t, "keys")]
	for i := range keys {
		if rapid.Bool().Draw(t, "descending") {
			keys[i] = "-" + keys[i]
		}
		keys[i] += rapid.SampledFrom([]string{"", "", ".nullsfirst", ".nullslast"}).Draw(t, "nulls")
	}
	return strings.Join(keys, ",")
}

func listPath(sort string, limit int) string {
	query := url.Values{"limit": {fmt.Sprint(limit)}}
	if sort != "" {
		query.Set("sort", sort)
	}
	return "/products?" + query.Encode()
}

// Pages of any size, in any sort, are together equal to one large page, whatever values the
// documents have.
func TestPagesAreTheList(t *testing.T) {
	n := newNodeOf(t, examples(t))
	r := rand.New(rand.NewPCG(1, 2))
	var batch []events.Event
	for i := range 60 {
		batch = append(batch, product(productID(i), events.Created, 1, oddProduct(r)))
	}
	n.append(batch...)
	rapid.Check(t, func(rt *rapid.T) {
		sort := drawSort(rt)
		whole := n.ids(listPath(sort, 10_000), nil)
		if len(whole) != 60 {
			rt.Fatalf("%s: got %d entities, want 60", sort, len(whole))
		}
		limit := rapid.SampledFrom([]int{1, 2, 7, 59, 60}).Draw(rt, "limit")
		if pages := n.ids(listPath(sort, limit), nil); !slices.Equal(pages, whole) {
			rt.Fatalf("%s by %d: got %v, want %v", sort, limit, pages, whole)
		}
	})
}

// While others write, a reader sees an entity that does not change exactly once, in any sort.
func TestPagesWhileOthersWrite(t *testing.T) {
	n := newNodeOf(t, examples(t))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	versions := map[int]int64{} // of the entities that are not deleted
	var batch []events.Event
	for i := range 80 {
		versions[i] = 1
		batch = append(batch, product(productID(i), events.Created, 1, oddProduct(r)))
	}
	n.append(batch...)
	made := 80
	for _, sort := range []string{"", "-id", "name", "-name,price", "price,-stock", "-sold_out", "name.nullslast,-price.nullsfirst", "updated_at,name", "-version,id"} {
		still := map[string]bool{}
		for i := range versions {
			still[productID(i)] = true
		}
		write := func() {
			var batch []events.Event
			for range 3 {
				i := r.IntN(made)
				switch version := versions[i]; {
				case version == 0 || r.IntN(3) == 0:
					batch = append(batch, product(productID(made), events.Created, 1, oddProduct(r)))
					versions[made] = 1
					made++
				case r.IntN(4) == 0:
					batch = append(batch, product(productID(i), events.Deleted, version+1, ""))
					delete(versions, i)
					delete(still, productID(i))
				default:
					batch = append(batch, product(productID(i), events.Updated, version+1, oddProduct(r)))
					versions[i]++
					delete(still, productID(i))
				}
			}
			n.append(batch...)
		}
		seen := map[string]int{}
		for _, id := range n.ids(listPath(sort, 7), write) {
			seen[id]++
		}
		if len(still) == 0 {
			t.Fatal("got changes to all entities, want some that stay")
		}
		for id := range still {
			if seen[id] != 1 {
				t.Errorf("sort %q: %s: got it %d times, want once", sort, id, seen[id])
			}
		}
	}
	if s, err := n.model.Status(servicetest.Context(t)); err != nil || s.Voids > 0 {
		t.Errorf("got %d void events of this test, %v, want none", s.Voids, err)
	}
}

// Both forms of a list have a tag that is valid until the next write.
func TestListsAreRevalidated(t *testing.T) {
	n := newNodeOf(t, examples(t))
	n.append(product(productID(1), events.Created, 1, `{"name":"a"}`))
	tags := map[string]bool{}
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		for _, path := range []string{"/products", "/products?count=true&price[gt]=1&sort=-name"} {
			first := n.get(path, 200, "Accept: "+accept)
			tag := first.Header.Get("ETag")
			if !strings.HasPrefix(tag, `W/"`) || first.Header.Get("Vary") == "" {
				t.Errorf("got the header %v, want a weak tag and Vary", first.Header)
			}
			tags[tag] = true
			again := n.get(path, 304, "Accept: "+accept, "If-None-Match: \"x\", "+tag)
			if body := servicetest.Body(t, again); body != "" || again.Header.Get("ETag") != tag || again.Header.Get("Clusterlite-Position") != first.Header.Get("Clusterlite-Position") {
				t.Errorf("got %v, %q, want no body, and the tag and the position of the first response", again.Header, body)
			}
			n.get(path, 200, "Accept: "+accept, `If-None-Match: W/"x"`)
			n.get(path, 400, "Accept: "+accept, `If-None-Match: x`)
			n.append(product(uuid.NewString(), events.Created, 1, `{"name":"b"}`))
			n.get(path, 200, "Accept: "+accept, "If-None-Match: "+tag)
		}
	}
	if len(tags) != 4 {
		t.Errorf("got the tags %v, want 4", tags)
	}
}

// A collection without a file is not served, even if the log has events of it.
func TestACollectionWithoutAFileIsNotServed(t *testing.T) {
	n := newNode(t)
	n.append(product(productID(1), events.Created, 1, `{"name":"a"}`))
	if body := servicetest.Body(t, n.get("/products", 404)); !strings.Contains(body, "/unknown-collection") {
		t.Errorf("got %s, want unknown-collection", body)
	}
	n.get("/products/"+productID(1), 404)
	if body := servicetest.Body(t, n.get("/", 200)); strings.Contains(body, "products") {
		t.Errorf("got %s, want no products", body)
	}
	n.get("/users", 200) // the read is strong, so the model has caught up
	if s, err := n.model.Status(servicetest.Context(t)); err != nil || s.Entities["products"] != 1 {
		t.Errorf("got %+v, %v, want one product kept", s, err)
	}
}
