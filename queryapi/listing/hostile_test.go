package listing

import (
	"net/url"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
)

// Whatever a query string names, only declared columns and values reach the store. The store's
// own tests show that the SQL contains no other names.
func TestOnlyDeclaredColumnsReachTheStore(t *testing.T) {
	set, err := collections.Load("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	c, _ := set.Get("products")
	words, declared := New(c), query.Columns(c)
	names := append([]string{
		`name"`, `name' OR 1=1 --`, `"name"`, "name\x00", "NAME", "doc", "_claims", "rowid", "oid", "_digests", "products.name", "name DESC", "name,id", "name[gt", "name[]", "name[or]", "", "?", "*",
	}, words.Parameters...)
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.OneOf(rapid.SampledFrom(names), rapid.String())
		values := url.Values{}
		for range rapid.IntRange(0, 4).Draw(rt, "parameters") {
			values.Set(name.Draw(rt, "name"), name.Draw(rt, "value"))
		}
		if rapid.Bool().Draw(rt, "sorted") {
			values.Set("sort", name.Draw(rt, "sort"))
		}
		for parameter := range values {
			if !slices.Contains(words.Parameters, parameter) {
				return // rejected before it is parsed: contract.RejectUnknownParameters
			}
		}
		asked, err := words.Parse(values)
		if err != nil {
			return
		}
		for _, f := range asked.Filters {
			if !slices.Contains(declared, f.Column) {
				rt.Fatalf("%v: got a filter by %+v, want a declared column", values, f.Column)
			}
		}
		for _, k := range asked.Sort {
			if !slices.Contains(declared, k.Column) {
				rt.Fatalf("%v: got a sort by %+v, want a declared column", values, k.Column)
			}
		}
	})
}
