package projections

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/reads"
)

const productsSchema = `{"title":"products","type":"object","properties":{
	"name":{"type":"string","x-index":true},"price":{"type":"number","x-index":true},"stock":{"type":"integer"},
	"sold":{"type":"boolean"},"code":{"type":["string","null"],"x-unique":true},"mail":{"type":"string","x-unique":"nocase"},"tags":{"type":"array"}}}`

func products(t testing.TB) (*collections.Set, *collections.Collection) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "products.json"), []byte(productsSchema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := set.Get("products")
	if !ok {
		t.Fatal("got no collection products, want one")
	}
	return set, c
}

// A product is an entity of the model. A nil value stands for a member that it lacks.
type product struct {
	id     string
	values map[string]any
}

func column(t testing.TB, c *collections.Collection, name string) query.Column {
	t.Helper()
	for _, col := range query.Columns(c) {
		if col.Name() == name {
			return col
		}
	}
	t.Fatalf("got no column %s, want one", name)
	return query.Column{}
}

// compareValues orders values as the store promises: a missing value first, and texts by bytes.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case bool:
		return cmp.Compare(number(a), number(b))
	default:
		return cmp.Compare(number(a), number(b))
	}
}

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

func (p product) matches(f query.Filter) bool {
	v := p.values[f.Column.Name()]
	if f.Op == query.Present {
		return (v != nil) == f.Values[0].(bool)
	}
	if f.Column.Name() == "mail" && slices.Contains([]query.Op{query.Equal, query.NotEqual, query.Prefix, query.In}, f.Op) {
		if v != nil {
			v = collections.Fold(v.(string))
		}
		values := make([]any, len(f.Values))
		for i, w := range f.Values {
			values[i] = collections.Fold(w.(string))
		}
		f.Values = values
	}
	if f.Op == query.NotEqual {
		return compareValues(v, f.Values[0]) != 0
	}
	if v == nil {
		return false
	}
	switch f.Op {
	case query.Prefix:
		return strings.HasPrefix(v.(string), f.Values[0].(string))
	case query.In:
		return slices.ContainsFunc(f.Values, func(w any) bool { return compareValues(v, w) == 0 })
	}
	c := compareValues(v, f.Values[0])
	return map[query.Op]bool{query.Equal: c == 0, query.Greater: c > 0, query.GreaterOrEqual: c >= 0, query.Less: c < 0, query.LessOrEqual: c <= 0}[f.Op]
}

var drawValue = map[string]func(*rapid.T) any{
	"name": func(t *rapid.T) any {
		return rapid.SampledFrom([]string{"", "a", "ab", "b", "B", "ä", "\U0010ffff", "a\U0010ffff", "%", "'"}).Draw(t, "name")
	},
	"code": func(t *rapid.T) any { return rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "code") },
	"mail": func(t *rapid.T) any {
		return rapid.SampledFrom([]string{"", "a@x", "A@x", "A@X.", "ß", "SS", "ẞtraße", "é", "e\u0301", "É!", "ΣΑΣ", "σας"}).Draw(t, "mail")
	},
	"price": func(t *rapid.T) any { return rapid.SampledFrom([]float64{-1, 0, 0.1, 1, 2.5, 1e300}).Draw(t, "price") },
	"stock": func(t *rapid.T) any { return rapid.SampledFrom([]int64{-5, 0, 1, 2, 1 << 60}).Draw(t, "stock") },
	"sold":  func(t *rapid.T) any { return rapid.Bool().Draw(t, "sold") },
	// The members that the server sets.
	"version":    func(t *rapid.T) any { return rapid.SampledFrom([]int64{0, 1, 2}).Draw(t, "version") },
	"created_at": func(t *rapid.T) any { return events.FormatTime(drawTime(t)) },
	"updated_at": func(t *rapid.T) any { return events.FormatTime(drawTime(t)) },
}

var modelColumns = []string{"name", "price", "stock", "sold", "code", "mail", "version", "created_at", "updated_at"}

func drawTime(t *rapid.T) time.Time {
	return time.UnixMilli(rapid.SampledFrom([]int64{-1, 0, 1, 1e12}).Draw(t, "time"))
}

func drawProducts(t *rapid.T) []product {
	all := make([]product, rapid.IntRange(0, 25).Draw(t, "products"))
	for i := range all {
		all[i] = product{fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i), map[string]any{}}
		for _, name := range []string{"name", "price", "stock", "sold", "code", "mail"} {
			if rapid.IntRange(0, 3).Draw(t, "has") > 0 {
				all[i].values[name] = drawValue[name](t)
			}
		}
		at := events.FormatTime(drawTime(t))
		all[i].values["version"], all[i].values["created_at"], all[i].values["updated_at"] = int64(1), at, at
	}
	return all
}

func drawQuery(t *rapid.T, tb testing.TB, c *collections.Collection) query.Query {
	var q query.Query
	names := slices.Clone(modelColumns)
	for range rapid.IntRange(0, 3).Draw(t, "filters") {
		f := query.Filter{Column: column(tb, c, rapid.SampledFrom(names).Draw(t, "filter")), Op: query.Op(rapid.IntRange(0, int(query.Present)).Draw(t, "op"))}
		if f.Op == query.Prefix && f.Column.Kind() != query.Text {
			f.Op = query.Equal
		}
		f.Values = []any{drawValue[f.Column.Name()](t)}
		if f.Op == query.Present {
			f.Values = []any{rapid.Bool().Draw(t, "present")}
		}
		if f.Op == query.In {
			for range rapid.IntRange(0, 2).Draw(t, "more") {
				f.Values = append(f.Values, drawValue[f.Column.Name()](t))
			}
		}
		q.Filters = append(q.Filters, f)
	}
	for _, name := range rapid.Permutation(append(names, "id")).Draw(t, "sort")[:rapid.IntRange(0, 3).Draw(t, "keys")] {
		q.Sort = append(q.Sort, query.SortKey{Column: column(tb, c, name), Descending: rapid.Bool().Draw(t, "descending"), Nulls: query.Nulls(rapid.IntRange(0, int(query.NullsLast)).Draw(t, "nulls"))})
	}
	return q
}

func expected(all []product, q query.Query) []string {
	var found []product
	for _, p := range all {
		if !slices.ContainsFunc(q.Filters, func(f query.Filter) bool { return !p.matches(f) }) {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b product) int {
		for _, k := range q.Keys() {
			one, other := a.values[k.Column.Name()], b.values[k.Column.Name()]
			c := compareValues(one, other)
			if k.Column.Name() == "id" {
				c = strings.Compare(a.id, b.id)
			}
			switch {
			case k.Nulls != query.NullsAsLowest && (one == nil) != (other == nil):
				if c = -1; (one == nil) == (k.Nulls == query.NullsLast) {
					c = 1
				}
			case k.Descending:
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	ids := []string{}
	for _, p := range found {
		ids = append(ids, p.id)
	}
	return ids
}

func idOf(t testing.TB, rendered []byte) string {
	t.Helper()
	var e struct{ ID string }
	if err := json.Unmarshal(rendered, &e); err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// onFile returns a projection over a file that is written without a broker.
func onFile(f *file) *Projection {
	p := &Projection{options: Options{}.withDefaults()}
	p.serving.Store(generation.New(f.db, f.w))
	f.t.Cleanup(p.rebuilds.Wait) // the claim filter is filled from the file in the background
	return p
}

func (f *file) applyAll(t testing.TB, batch ...events.Event) {
	t.Helper()
	records := make([]events.Record, len(batch))
	for i, e := range batch {
		e.Source, e.ID = "/test", "0193a1a0-0000-7000-9000-000000000000"
		records[i] = events.Record{Offset: int64(f.w.Position) + int64(i), Timestamp: time.UnixMilli(1), Event: e}
	}
	done, err := f.w.Apply(context.Background(), records)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range done {
		if j.Verdict.Outcome != events.Admitted {
			t.Fatalf("got %+v, want it admitted", j.Verdict)
		}
	}
}

func created(t testing.TB, p product) events.Event {
	t.Helper()
	document := maps.Clone(p.values)
	at, _ := document["created_at"].(string)
	for _, name := range []string{"version", "created_at", "updated_at"} {
		delete(document, name)
	}
	b, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	e := events.Event{Collection: "products", EntityID: p.id, Kind: events.Created, Version: 1, Document: b}
	if at != "" {
		if e.Time, err = time.Parse(events.TimeFormat, at); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func newProducts(t testing.TB) (*file, *collections.Collection) {
	t.Helper()
	set, c := products(t)
	return newFileOf(t, set), c
}

// found returns the ids of a whole list, read by the given route.
func (f *file) found(q query.Query, way listsql.Route) []string {
	f.t.Helper()
	ids := []string{}
	for _, part := range listsql.Selects(q, "products", way) {
		rows, err := f.db.Lists.Pool.Query(`SELECT id FROM (`+part.Text+`)`, part.Args...)
		if err != nil {
			f.t.Fatal(err)
		}
		for rows.Next() {
			var id rowformat.ID
			if err := rows.Scan(&id); err != nil {
				f.t.Fatal(err)
			}
			ids = append(ids, string(id))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			f.t.Fatal(err)
		}
	}
	return ids
}

// Filters, sorts and pages of all sizes give the same lists as a plain model.
func TestListsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f, c := newProducts(t)
		p := onFile(f)
		all := drawProducts(rt)
		for _, one := range all {
			f.applyAll(t, created(t, one))
		}
		for range 5 {
			q := drawQuery(rt, t, c)
			want := expected(all, q)
			s, err := p.BeginRead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			q.Limit = rapid.SampledFrom([]int{0, 1, 2, 3, 100}).Draw(rt, "limit")
			got := []string{}
			for pages := 0; ; pages++ {
				next, err := s.List(t.Context(), "products", q, func(b []byte) error { got = append(got, idOf(t, b)); return nil })
				if err != nil {
					t.Fatal(err)
				}
				if next == nil {
					break
				}
				q.After = next
				if pages > len(all) {
					rt.Fatalf("got %d pages and a cursor for another one, want at most %d pages", pages+1, len(all)+1)
				}
			}
			if !slices.Equal(got, want) {
				rt.Fatalf("got %v, want %v", got, want)
			}
			q.After = nil
			for _, way := range []listsql.Route{listsql.InOrder, listsql.ByFilter} {
				if got := f.found(q, way); !slices.Equal(got, want) {
					rt.Fatalf("by route %d: got %v, want %v", way, got, want)
				}
			}
			if n, err := s.Count(t.Context(), "products", q); err != nil || int(n) != len(want) {
				rt.Fatalf("got count %d, %v, want %d", n, err, len(want))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A client that pages while others write sees every unchanged entity exactly once.
func TestPagesUnderWrites(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f, c := newProducts(t)
		p := onFile(f)
		versions := map[string]int64{}
		all := drawProducts(rt)
		for _, one := range all {
			f.applyAll(t, created(t, one))
			versions[one.id] = 1
		}
		q := drawQuery(rt, t, c)
		q.Limit = rapid.IntRange(1, 3).Draw(rt, "limit")
		want, seen, changed := expected(all, q), map[string]int{}, map[string]bool{}
		for n := 0; ; n++ {
			s, err := p.BeginRead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			next, err := s.List(t.Context(), "products", q, func(b []byte) error { seen[idOf(t, b)]++; return nil })
			if err = errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			if next == nil || n > 200 {
				break
			}
			q.After = next
			switch other := (product{fmt.Sprintf("0193a1a0-0000-7000-a000-%012x", n), map[string]any{"name": drawValue["name"](rt), "price": drawValue["price"](rt)}}); rapid.IntRange(0, 2).Draw(rt, "write") {
			case 0:
				f.applyAll(t, created(t, other))
			case 1:
				one := rapid.SampledFrom(all).Draw(rt, "changed")
				if versions[one.id] == 0 {
					continue
				}
				versions[one.id]++
				changed[one.id] = true
				e := created(t, product{one.id, other.values})
				e.Kind, e.Version = events.Updated, versions[one.id]
				f.applyAll(t, e)
			case 2:
				one := rapid.SampledFrom(all).Draw(rt, "deleted")
				if versions[one.id] == 0 {
					continue
				}
				f.applyAll(t, events.Event{Collection: "products", EntityID: one.id, Kind: events.Deleted, Version: versions[one.id] + 1})
				versions[one.id], changed[one.id] = 0, true
			}
		}
		for _, id := range want {
			if !changed[id] && seen[id] != 1 {
				rt.Fatalf("%s: got it %d times, want once", id, seen[id])
			}
		}
	})
}

func TestExportsAreBounded(t *testing.T) {
	f, _ := newProducts(t)
	p := onFile(f)
	var open []*reads.Tx
	for range sqlite.ExportConns {
		s, err := p.BeginLongRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	if _, err := p.BeginLongRead(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v, want %v", err, ErrBusy)
	}
	for _, s := range open {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := p.BeginLongRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := s.At
	f.applyAll(t, created(t, product{"0193a1a0-0000-7000-8000-000000000001", map[string]any{"name": "a"}}))
	n := 0
	if _, err := s.List(t.Context(), "products", query.Query{}, func([]byte) error { n++; return nil }); err != nil || n != 0 || s.At != before {
		t.Errorf("got %d entities at position %d, %v, want none at position %d", n, s.At, err, before)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkListPage(b *testing.B) {
	f, c := newProducts(b)
	p := onFile(f)
	for i := range 20_000 {
		f.applyAll(b, created(b, product{fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i), map[string]any{"name": fmt.Sprint("n", i%100), "price": float64(i % 1000)}}))
	}
	for name, q := range map[string]query.Query{
		"by id": {Limit: 100}, "by index": {Limit: 100, Sort: []query.SortKey{{Column: column(b, c, "price"), Descending: true, Nulls: query.NullsAsLowest}}},
		"filter":       {Limit: 100, Filters: []query.Filter{{Column: column(b, c, "name"), Op: query.Equal, Values: []any{"n5"}}}},
		"narrow range": {Limit: 100, Filters: []query.Filter{{Column: column(b, c, "price"), Op: query.GreaterOrEqual, Values: []any{990.0}}}},
		"wide range":   {Limit: 100, Filters: []query.Filter{{Column: column(b, c, "price"), Op: query.GreaterOrEqual, Values: []any{100.0}}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s, err := p.BeginRead(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				var buf bytes.Buffer
				if _, err := s.List(context.Background(), "products", q, func(d []byte) error { buf.Write(d); return nil }); err != nil {
					b.Fatal(err)
				}
				_ = s.Close()
			}
		})
	}
}
