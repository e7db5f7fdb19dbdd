package projections

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/query"
)

// plan returns SQLite's query plan for a statement.
func (f *file) plan(s listsql.Statement) []string {
	f.t.Helper()
	rows, err := f.db.Lists.Pool.Query("EXPLAIN QUERY PLAN "+s.Text, s.Args...)
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

// A filter on an indexed property searches the index, even without statistics, for every sort and
// page.
func TestFiltersUseTheirIndexes(t *testing.T) {
	f, c := newProducts(t)
	p := onFile(f)
	values := map[string]any{"name": "a", "price": 1.0, "code": "x", "mail": "a@x"}
	sorts := map[string][]query.SortKey{"none": nil, "-id": {{Column: query.IDColumn(), Descending: true, Nulls: query.NullsAsLowest}}, "stock": {{Column: column(t, c, "stock"), Descending: false, Nulls: query.NullsAsLowest}}}
	for name := range values {
		sorts[name] = []query.SortKey{{Column: column(t, c, name), Descending: true, Nulls: query.NullsAsLowest}}
	}
	s, err := p.BeginRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for name, value := range values {
		for _, op := range []query.Op{query.Equal, query.Greater, query.GreaterOrEqual, query.Less, query.LessOrEqual, query.Prefix, query.In, query.Present} {
			column := column(t, c, name)
			if op == query.Prefix && column.Kind() != query.Text {
				continue
			}
			for sorted, sort := range sorts {
				for _, after := range []*query.Cursor{nil, {Keys: []any{value, value}, ID: "0193a1a0-0000-7000-8000-000000000000"}} {
					compared := any(value)
					if op == query.Present {
						compared = false
					}
					filter := query.Filter{Column: column, Op: op, Values: []any{compared}}
					q := query.Query{Filters: []query.Filter{filter}, Sort: sort, After: after}
					if after != nil {
						q.After = &query.Cursor{Keys: after.Keys[:len(q.Keys())-1], ID: after.ID}
					}
					way, err := listsql.ChooseRoute(t.Context(), f.db.Lists.Pool, "products", q)
					if err != nil {
						t.Fatal(err)
					}
					for _, part := range append(listsql.Selects(q, "products", way), listsql.Count(q, "products")) {
						plan, comparand := f.plan(part), listsql.Comparand(filter).Column
						want := []string{"SEARCH products USING INDEX products." + name}
						if comparand.IsFolded() {
							want = append(want, "SEARCH products USING INDEX products."+strings.Trim(listsql.ColumnName(comparand), `"`))
						}
						if !slices.Equal(accesses(plan), want) {
							t.Errorf("%s %d, sorted by %s: got this plan, want a search in the index: %s\n%s", name, op, sorted, part.Text, plan)
						}
					}
				}
			}
		}
	}
}

// accesses returns how a plan finds rows of products, without the conditions.
func accesses(plan []string) (found []string) {
	for _, step := range plan {
		step = strings.ReplaceAll(step, "COVERING ", "")
		if step, _, _ = strings.Cut(step, " ("); strings.Contains(step, " products") {
			found = append(found, step)
		}
	}
	return found
}

// A wide range is read in the order of the list. A page of it is found at once, while sorting the
// whole range would take long.
func TestAWideRangeIsWalkedInOrder(t *testing.T) {
	f, c := newProducts(t)
	p := onFile(f)
	var batch []events.Event
	for i := range listsql.Narrow + 1 {
		batch = append(batch, created(t, product{fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i), map[string]any{"price": float64(i), "name": "a"}}))
	}
	f.applyAll(t, batch...)
	s, err := p.BeginRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	price := column(t, c, "price")
	for lowest, want := range map[float64]listsql.Route{0: listsql.InOrder, 1: listsql.ByFilter} {
		for _, extra := range []query.Filter{{Column: column(t, c, "name"), Op: query.NotEqual, Values: []any{"b"}}, {Column: column(t, c, "name"), Op: query.GreaterOrEqual, Values: []any{""}}} {
			got, err := listsql.ChooseRoute(t.Context(), f.db.Lists.Pool, "products", query.Query{Filters: []query.Filter{extra, {Column: price, Op: query.GreaterOrEqual, Values: []any{lowest}}}})
			if err != nil || got != want {
				t.Errorf("from %g on: got route %d, %v, want %d", lowest, got, err, want)
			}
		}
	}
}

// A sort by an indexed property walks the index on every page, and sorts nothing.
func TestSortsUseTheirIndexes(t *testing.T) {
	f, c := newProducts(t)
	price, id := column(t, c, "price"), "0193a1a0-0000-7000-8000-000000000000"
	after := func(key any) *query.Cursor { return &query.Cursor{Keys: []any{key}, ID: id} }
	for name, q := range map[string]query.Query{
		"by id":                     {},
		"by id, later":              {After: &query.Cursor{ID: id}},
		"by id, descending":         {Sort: []query.SortKey{{Column: query.IDColumn(), Descending: true, Nulls: query.NullsAsLowest}}},
		"by id, descending, later":  {Sort: []query.SortKey{{Column: query.IDColumn(), Descending: true, Nulls: query.NullsAsLowest}}, After: &query.Cursor{ID: id}},
		"ascending":                 {Sort: []query.SortKey{{Column: price, Descending: false, Nulls: query.NullsAsLowest}}},
		"ascending, later":          {Sort: []query.SortKey{{Column: price, Descending: false, Nulls: query.NullsAsLowest}}, After: after(1.0)},
		"ascending, missing":        {Sort: []query.SortKey{{Column: price, Descending: false, Nulls: query.NullsAsLowest}}, After: after(nil)},
		"descending":                {Sort: []query.SortKey{{Column: price, Descending: true, Nulls: query.NullsAsLowest}}},
		"descending, later":         {Sort: []query.SortKey{{Column: price, Descending: true, Nulls: query.NullsAsLowest}}, After: after(1.0)},
		"nulls last":                {Sort: []query.SortKey{{Column: price, Descending: false, Nulls: query.NullsLast}}},
		"nulls last, later":         {Sort: []query.SortKey{{Column: price, Descending: false, Nulls: query.NullsLast}}, After: after(1.0)},
		"nulls last, missing":       {Sort: []query.SortKey{{Column: price, Descending: false, Nulls: query.NullsLast}}, After: after(nil)},
		"nulls first":               {Sort: []query.SortKey{{Column: price, Descending: true, Nulls: query.NullsFirst}}},
		"nulls first, later":        {Sort: []query.SortKey{{Column: price, Descending: true, Nulls: query.NullsFirst}}, After: after(1.0)},
		"nulls first, missing":      {Sort: []query.SortKey{{Column: price, Descending: true, Nulls: query.NullsFirst}}, After: after(nil)},
		"without it, by id":         {Filters: []query.Filter{{Column: price, Op: query.Present, Values: []any{false}}}},
		"descending, missing":       {Sort: []query.SortKey{{Column: price, Descending: true, Nulls: query.NullsAsLowest}}, After: after(nil)},
		"of one value, by id":       {Filters: []query.Filter{{Column: price, Op: query.Equal, Values: []any{1.0}}}},
		"of one value, by id later": {Filters: []query.Filter{{Column: price, Op: query.Equal, Values: []any{1.0}}}, After: &query.Cursor{ID: id}},
	} {
		for _, part := range listsql.Selects(q, "products", listsql.InOrder) {
			plan := f.plan(part)
			// The table itself is stored in the order of ids.
			walks := strings.Contains(plan[0], "USING INDEX") || strings.Contains(plan[0], "PRIMARY KEY") || plan[0] == "SCAN products" && q.After == nil && q.Keys()[0].Column == query.IDColumn()
			if len(plan) != 1 || !walks {
				t.Errorf("%s: got this plan, want a single walk of an index: %s\n%s", name, part.Text, plan)
			}
		}
	}
}

// A count of all entities reads one row, however many entities exist.
func TestACountWithoutFiltersCostsNothing(t *testing.T) {
	f, _ := newProducts(t)
	for _, step := range f.plan(listsql.Count(query.Query{}, "products")) {
		if strings.Contains(step, "products") || strings.Contains(step, "SCAN") && step != "SCAN CONSTANT ROW" {
			t.Errorf("got step %s, want only one row read", step)
		}
	}
}

// hostile are values that an attacker sends to inject SQL.
var hostile = []string{
	`x' OR 1=1 --`, `"; DROP TABLE products; --`, `?`, `?1`, `$doc`, `"name"`, `products`, "\x00", `%`, `\`, `*/`, `ORDER BY`, `📦`, `) UNION SELECT * FROM _claims --`,
}

// token matches the only parts of a list's SQL: declared names, names of this package, words of
// SQL, and placeholders for arguments.
var token = regexp.MustCompile(`^(?:"(?:products|id|version|created_at|updated_at|name|price|stock|sold|code|mail|_fold_mail)"|` +
	`SELECT|FROM|WHERE|AND|OR|IS|NOT|NULL|IN|ORDER|BY|DESC|CAST|AS|REAL|NULLS|FIRST|LAST|LIMIT|id|doc|value|json_each|count|coalesce|living|_digests|collection|version|created_at|updated_at|unhex|` +
	`\?|[(),=*<>+]|<=|>=|0| )+$`)

// No string of a request is in the text of a statement. The text is the same for all values, and
// consists of a closed set of words.
func TestNoStringOfARequestReachesSQL(t *testing.T) {
	_, c := newProducts(t)
	texts := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		queryOf := func(value func() any) query.Query {
			var q query.Query
			for i, name := range []string{"name", "code", "id", "mail"} {
				for op := query.Equal; op <= query.In; op++ {
					if (int(op)+i)%2 == 0 {
						q.Filters = append(q.Filters, query.Filter{Column: column(t, c, name), Op: op, Values: []any{value()}})
					}
				}
			}
			q.Sort = []query.SortKey{{Column: column(t, c, "name"), Descending: false, Nulls: query.NullsAsLowest}, {Column: column(t, c, "price"), Descending: true, Nulls: query.NullsAsLowest}}
			q.After = &query.Cursor{Keys: []any{value(), value()}, ID: fmt.Sprint(value())}
			return q
		}
		evil := queryOf(func() any {
			return rapid.OneOf(rapid.SampledFrom(hostile), rapid.String()).Filter(func(s string) bool { return s != "" }).Draw(rt, "value")
		})
		harmless := queryOf(func() any { return "a" })
		statements := func(q query.Query) []listsql.Statement {
			return append(append(listsql.Selects(q, "products", listsql.InOrder), listsql.Selects(q, "products", listsql.ByFilter)...), listsql.Count(q, "products"))
		}
		got, want := statements(evil), statements(harmless)
		for i := range got {
			if got[i].Text != want[i].Text || !token.MatchString(got[i].Text) {
				rt.Fatalf("got %s, want %s, made of known words", got[i].Text, want[i].Text)
			}
			texts[got[i].Text] = true
		}
	})
	if len(texts) > 11 {
		t.Errorf("got %d texts of one query, want at most 11", len(texts))
	}
	// The set of words is the same for every query.
	rapid.Check(t, func(rt *rapid.T) {
		q := drawQuery(rt, t, c)
		for _, s := range append(listsql.Selects(q, "products", rapid.SampledFrom([]listsql.Route{listsql.InOrder, listsql.ByFilter}).Draw(rt, "way")), listsql.Count(q, "products")) {
			if !token.MatchString(s.Text) {
				rt.Fatalf("got %s, want only known words", s.Text)
			}
		}
	})
}
