package projections

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events"
)

// plan is how SQLite would carry a statement out.
func (f *file) plan(s statement) []string {
	f.t.Helper()
	rows, err := f.db.lists.pool.Query("EXPLAIN QUERY PLAN "+s.text, s.args...)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var a, b, c int
		var detail string
		if err := rows.Scan(&a, &b, &c, &detail); err != nil {
			f.t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	return plan
}

// A filter by a declared index is a search in it, also without statistics, whatever the
// sort and the page.
func TestFiltersUseTheirIndexes(t *testing.T) {
	f, c := newProducts(t)
	p := onFile(f)
	values := map[string]any{"name": "a", "price": 1.0, "code": "x", "mail": "a@x"}
	sorts := map[string][]SortKey{"none": nil, "-id": {{IDColumn(), true, NullsAsLeast}}, "stock": {{column(t, c, "stock"), false, NullsAsLeast}}}
	for name := range values {
		sorts[name] = []SortKey{{column(t, c, name), true, NullsAsLeast}}
	}
	s, err := p.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for name, value := range values {
		for _, op := range []Op{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Prefix, In, Present} {
			column := column(t, c, name)
			if op == Prefix && column.Kind() != Text {
				continue
			}
			for sorted, sort := range sorts {
				for _, after := range []*Place{nil, {Keys: []any{value, value}, ID: "0193a1a0-0000-7000-8000-000000000000"}} {
					compared := any(value)
					if op == Present {
						compared = false
					}
					filter := Filter{column, op, []any{compared}}
					q := Query{Filters: []Filter{filter}, Sort: sort, After: after}
					if after != nil {
						q.After = &Place{Keys: after.Keys[:len(q.keys())-1], ID: after.ID}
					}
					way, err := chooseRoute(t.Context(), f.db.lists.pool, "products", q)
					if err != nil {
						t.Fatal(err)
					}
					for _, part := range append(selects(q, "products", way), countQuery(q, "products")) {
						if plan := f.plan(part); !strings.HasPrefix(strings.ReplaceAll(plan[0], "COVERING ", ""), "SEARCH products USING INDEX products."+strings.Trim(columnName(comparand(filter).Column), `"`)) {
							t.Errorf("%s %d, sorted by %s: %s\n%s", name, op, sorted, part.text, plan)
						}
					}
				}
			}
		}
	}
}

// A range that holds much is walked in the order of the list: a page of it is found at
// once, where to sort it all would take long.
func TestAWideRangeIsWalkedInOrder(t *testing.T) {
	f, c := newProducts(t)
	p := onFile(f)
	var batch []events.Event
	for i := range narrow + 1 {
		batch = append(batch, created(t, product{fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i), map[string]any{"price": float64(i), "name": "a"}}))
	}
	f.applyAll(t, batch...)
	s, err := p.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	price := column(t, c, "price")
	for least, want := range map[float64]route{0: inOrder, 1: byFilter} {
		for _, extra := range []Filter{{column(t, c, "name"), NotEqual, []any{"b"}}, {column(t, c, "name"), GreaterOrEqual, []any{""}}} {
			got, err := chooseRoute(t.Context(), f.db.lists.pool, "products", Query{Filters: []Filter{extra, {price, GreaterOrEqual, []any{least}}}})
			if err != nil || got != want {
				t.Errorf("from %g on: %d, %v, want %d", least, got, err, want)
			}
		}
	}
}

// A sort by a declared index walks it, and sorts nothing, on every page.
func TestSortsUseTheirIndexes(t *testing.T) {
	f, c := newProducts(t)
	price, id := column(t, c, "price"), "0193a1a0-0000-7000-8000-000000000000"
	after := func(key any) *Place { return &Place{Keys: []any{key}, ID: id} }
	for name, q := range map[string]Query{
		"by id":                     {},
		"by id, later":              {After: &Place{ID: id}},
		"by id, descending":         {Sort: []SortKey{{IDColumn(), true, NullsAsLeast}}},
		"by id, descending, later":  {Sort: []SortKey{{IDColumn(), true, NullsAsLeast}}, After: &Place{ID: id}},
		"ascending":                 {Sort: []SortKey{{price, false, NullsAsLeast}}},
		"ascending, later":          {Sort: []SortKey{{price, false, NullsAsLeast}}, After: after(1.0)},
		"ascending, missing":        {Sort: []SortKey{{price, false, NullsAsLeast}}, After: after(nil)},
		"descending":                {Sort: []SortKey{{price, true, NullsAsLeast}}},
		"descending, later":         {Sort: []SortKey{{price, true, NullsAsLeast}}, After: after(1.0)},
		"nulls last":                {Sort: []SortKey{{price, false, NullsLast}}},
		"nulls last, later":         {Sort: []SortKey{{price, false, NullsLast}}, After: after(1.0)},
		"nulls last, missing":       {Sort: []SortKey{{price, false, NullsLast}}, After: after(nil)},
		"nulls first":               {Sort: []SortKey{{price, true, NullsFirst}}},
		"nulls first, later":        {Sort: []SortKey{{price, true, NullsFirst}}, After: after(1.0)},
		"nulls first, missing":      {Sort: []SortKey{{price, true, NullsFirst}}, After: after(nil)},
		"without it, by id":         {Filters: []Filter{{price, Present, []any{false}}}},
		"descending, missing":       {Sort: []SortKey{{price, true, NullsAsLeast}}, After: after(nil)},
		"of one value, by id":       {Filters: []Filter{{price, Equal, []any{1.0}}}},
		"of one value, by id later": {Filters: []Filter{{price, Equal, []any{1.0}}}, After: &Place{ID: id}},
	} {
		for _, part := range selects(q, "products", inOrder) {
			plan := f.plan(part)
			// The table itself is in the order of ids.
			walks := strings.Contains(plan[0], "USING INDEX") || strings.Contains(plan[0], "PRIMARY KEY") || plan[0] == "SCAN products" && q.After == nil && q.keys()[0].Column == IDColumn()
			if len(plan) != 1 || !walks {
				t.Errorf("%s: %s\n%s", name, part.text, plan)
			}
		}
	}
}

// To count all entities costs one row, however many there are.
func TestACountWithoutFiltersCostsNothing(t *testing.T) {
	f, _ := newProducts(t)
	for _, step := range f.plan(countQuery(Query{}, "products")) {
		if strings.Contains(step, "products") || strings.Contains(step, "SCAN") && step != "SCAN CONSTANT ROW" {
			t.Errorf("it reads more: %s", step)
		}
	}
}

// hostile are what strangers send to get into SQL.
var hostile = []string{
	`x' OR 1=1 --`, `"; DROP TABLE products; --`, `?`, `?1`, `$doc`, `"name"`, `products`, "\x00", `%`, `\`, `*/`, `ORDER BY`, `📦`, `) UNION SELECT * FROM _claims --`,
}

// token is all that the text of a list's SQL is made of: names that were declared or are
// ours, words of SQL, places for arguments.
var token = regexp.MustCompile(`^(?:"(?:products|id|version|created_at|updated_at|name|price|stock|sold|code|mail|_folded_mail)"|` +
	`SELECT|FROM|WHERE|AND|IS|NOT|NULL|IN|ORDER|BY|DESC|CAST|AS|REAL|NULLS|FIRST|LAST|LIMIT|id|doc|value|json_each|count|coalesce|living|_digests|collection|version|created_at|updated_at|unhex|` +
	`\?|[(),=*<>+]|<=|>=|0| )+$`)

// No string of a request is in the text of a statement: with whatever values, the text
// is the same, and made of a closed set of words.
func TestNoStringOfARequestReachesSQL(t *testing.T) {
	_, c := newProducts(t)
	texts := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		queryOf := func(value func() any) Query {
			var q Query
			for i, name := range []string{"name", "code", "id", "mail"} {
				for op := Equal; op <= In; op++ {
					if (int(op)+i)%2 == 0 {
						q.Filters = append(q.Filters, Filter{column(t, c, name), op, []any{value()}})
					}
				}
			}
			q.Sort = []SortKey{{column(t, c, "name"), false, NullsAsLeast}, {column(t, c, "price"), true, NullsAsLeast}}
			q.After = &Place{Keys: []any{value(), value()}, ID: fmt.Sprint(value())}
			return q
		}
		evil := queryOf(func() any {
			return rapid.OneOf(rapid.SampledFrom(hostile), rapid.String()).Filter(func(s string) bool { return s != "" }).Draw(rt, "value")
		})
		harmless := queryOf(func() any { return "a" })
		statements := func(q Query) []statement {
			return append(append(selects(q, "products", inOrder), selects(q, "products", byFilter)...), countQuery(q, "products"))
		}
		got, want := statements(evil), statements(harmless)
		for i := range got {
			if got[i].text != want[i].text || !token.MatchString(got[i].text) {
				rt.Fatalf("%s", got[i].text)
			}
			texts[got[i].text] = true
		}
	})
	if len(texts) > 11 {
		t.Errorf("there are %d texts of one query", len(texts))
	}
	// Any query at all: the words are the same ones.
	rapid.Check(t, func(rt *rapid.T) {
		q := drawQuery(rt, t, c)
		for _, s := range append(selects(q, "products", rapid.SampledFrom([]route{inOrder, byFilter}).Draw(rt, "way")), countQuery(q, "products")) {
			if !token.MatchString(s.text) {
				rt.Fatalf("%s", s.text)
			}
		}
	})
}
