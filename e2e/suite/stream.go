package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const ndjson = "application/x-ndjson"

// A LineResult is the result for one line of an import.
type LineResult struct {
	Line   int64  `json:"line"`
	Status int    `json:"status"`
	ID     string `json:"id"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
	Errors []struct{ Pointer, Detail string }
}

// Lines decodes an answer that consists of lines.
func Lines[T any](t testing.TB, r Response) []T {
	t.Helper()
	if r.Header.Get("Content-Type") != ndjson {
		t.Errorf("got content type %q, want %s", r.Header.Get("Content-Type"), ndjson)
	}
	var all []T
	for line := range bytes.Lines(r.Body) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("got an invalid line: %v: %s", err, line)
		}
		all = append(all, one)
	}
	return all
}

func imports(t *testing.T, target Target) {
	prefix := fmt.Sprintf("i%d.%d ", run, counter.Add(1))
	product := func(name string) string { return marshal(t, Product{SKU: SKU(), Name: prefix + name, Price: 1}) }
	t.Run("lines are independent, in order", func(t *testing.T) {
		taken := product("first")
		lines := []string{
			taken,
			"", // no entity
			`{"sku":"no"}`,
			product("second"),
			taken,
			`not JSON`,
			`[]`,
			"  " + product("third") + "\r",
			`{"x":"` + strings.Repeat("x", 1<<20+1) + `"}`,
			product("last"),
		}
		r := target.Do(t, "POST", "/products", strings.Join(lines, "\n"), "Content-Type: "+ndjson).Want(t, 200)
		want := map[int64]struct {
			status int
			kind   string
		}{1: {201, ""}, 3: {422, "invalid-document"}, 4: {201, ""}, 5: {409, "unique-taken"}, 6: {400, "malformed-request"}, 7: {422, "invalid-document"}, 8: {201, ""}, 9: {413, "body-too-large"}, 10: {201, ""}}
		last := int64(0)
		for _, l := range Lines[LineResult](t, r) {
			w, ok := want[l.Line]
			if !ok || l.Line <= last || l.Status != w.status || (l.ID != "") != (l.Status == 201) || w.kind != "" && !strings.HasSuffix(l.Type, "/"+w.kind) {
				t.Errorf("got %+v after line %d, want a later line with status %d and type %q", l, last, w.status, w.kind)
			}
			if last = l.Line; l.Status == 201 {
				target.Do(t, "GET", "/products/"+l.ID, "").Want(t, 200)
			}
			delete(want, l.Line)
		}
		if len(want) > 0 {
			t.Errorf("no result for %v", want)
		}
		if n := len(target.ids(t, "/products?name[prefix]="+url.QueryEscape(prefix))); n != 4 {
			t.Errorf("got %d products, want 4", n)
		}
	})
	t.Run("many", func(t *testing.T) {
		var body strings.Builder
		for i := range 3000 {
			body.WriteString(product(fmt.Sprint("many ", i)) + "\n")
		}
		key := "Idempotency-Key: " + Key()
		r := target.Do(t, "POST", "/products", body.String(), "Content-Type: "+ndjson, key).Want(t, 200)
		results := Lines[LineResult](t, r)
		if len(results) != 3000 {
			t.Fatalf("got %d results, want 3000", len(results))
		}
		seen := map[string]bool{}
		for i, l := range results {
			if l.Status != 201 || l.Line != int64(i+1) || seen[l.ID] {
				t.Fatalf("got %+v, want a new entity for line %d", l, i+1)
			}
			seen[l.ID] = true
		}
		// A retry repeats the outcomes, and creates no entity twice.
		again := target.Do(t, "POST", "/products", body.String(), "Content-Type: "+ndjson, key).Want(t, 200)
		if !bytes.Equal(again.Body, r.Body) {
			t.Error("got other results from a retry, want the same")
		}
		path := "/products?name[prefix]=" + url.QueryEscape(prefix+"many")
		exported := Lines[Product](t, target.Do(t, "GET", path, "", "Accept: "+ndjson).Want(t, 200))
		if len(exported) != 3000 || !slices.IsSortedFunc(exported, func(a, b Product) int { return strings.Compare(a.ID, b.ID) }) {
			t.Errorf("got %d exported products, want 3000 in the order of their ids", len(exported))
		}
	})
	t.Run("streams", func(t *testing.T) {
		path := "/products?name[prefix]=" + url.QueryEscape(prefix)
		r := target.Do(t, "GET", path+"&sort=-name&fields=name&limit=2", "", "Accept: "+ndjson).Want(t, 200)
		if got := Lines[Product](t, r); len(got) != 2 || got[0].ID != "" || got[0].Name < got[1].Name {
			t.Errorf("got %+v, want two products without ids, in descending order of names", got)
		}
		if r.Header.Get("ETag") == "" || r.Header.Get("Vary") == "" {
			t.Errorf("got the header %v, want ETag and Vary", r.Header)
		}
		target.Do(t, "HEAD", path+"&count=true", "", "Accept: "+ndjson).Want(t, 200)
		if r := target.Do(t, "GET", "/products?name=nobody", "", "Accept: "+ndjson).Want(t, 200); len(r.Body) != 0 {
			t.Errorf("got %s, want no lines", r.Body)
		}
		target.Do(t, "GET", "/products?limit=0", "", "Accept: "+ndjson).Problem(t, 400, "malformed-request")
	})
	t.Run("an empty import", func(t *testing.T) {
		if r := target.Do(t, "POST", "/products", "\n\n", "Content-Type: "+ndjson).Want(t, 200); len(r.Body) != 0 {
			t.Errorf("got %s, want no lines", r.Body)
		}
		target.Do(t, "POST", "/nothing", "{}\n", "Content-Type: "+ndjson).Problem(t, 404, "unknown-collection")
		target.Do(t, "PUT", "/products/"+strings.TrimPrefix(absent, "/users/"), "{}\n", "Content-Type: "+ndjson).Problem(t, 415, "unsupported-media-type")
	})
}
