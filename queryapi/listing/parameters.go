package listing

import (
	"slices"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
)

// A Parameter is a query parameter of lists that is not a filter.
type Parameter struct {
	Name string
	// Description is the one in the OpenAPI description.
	Description string
	// Schema returns the schema of its values. If it is Shared, the schema is the same for all
	// collections, and c is nil.
	Schema func(c *collections.Collection) *openapi3.Schema
	Shared bool
	// Commas means that the values of an array are separated by commas.
	Commas bool
	// Parse validates a value and returns the request with what the value asks for. The error
	// is a problem. A parameter that is parsed AfterOthers can depend on what they set. The
	// request is passed by value: a pointer would cost each list an allocation.
	Parse       func(v *Vocabulary, r Request, value string) (Request, error)
	AfterOthers bool
}

// Parameters is the table of all parameters, in the order of the OpenAPI description. To add
// one, add it here and have the query or the response respect what it sets in the [Request].
// Only tests change the table.
var Parameters = []Parameter{
	{
		Name: "sort", Commas: true,
		Description: "The members to sort by, separated by commas. A `-` before the name sorts in descending order. Entities that lack the member come first in ascending order and last in descending order; `.nullslast` or `.nullsfirst` after the name overrides that. Ties are sorted by id.",
		Schema:      sortSchema,
		Parse: func(v *Vocabulary, r Request, value string) (_ Request, err error) {
			r.Sort, err = v.parseSort(value)
			return r, err
		},
	},
	{
		Name: "limit", Shared: true,
		Description: "The maximum number of entities on the page. The default is 100.",
		Schema: func(*collections.Collection) *openapi3.Schema {
			return openapi3.NewIntegerSchema().WithMin(1).WithMax(maxLimit)
		},
		Parse: func(_ *Vocabulary, r Request, value string) (_ Request, err error) {
			r.Limit, err = parseLimit(value)
			return r, err
		},
	},
	{
		Name: "after", Shared: true, AfterOthers: true, // the cursor depends on the sort
		Description: "Where the page starts: the cursor from the `Link` field of the previous page. `sort` must be the same.",
		Schema:      func(*collections.Collection) *openapi3.Schema { return openapi3.NewStringSchema() },
		Parse: func(v *Vocabulary, r Request, value string) (_ Request, err error) {
			r.After, err = v.decodeCursor(value, r.Sort)
			return r, err
		},
	},
	{
		Name: "fields", Shared: true, Commas: true,
		Description: "Return only these members of each entity, separated by commas. The returned entities lack all other members, even those that their schema requires.",
		Schema: func(*collections.Collection) *openapi3.Schema {
			return openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema().WithMinLength(1)).WithMinItems(1)
		},
		Parse: func(v *Vocabulary, r Request, value string) (_ Request, err error) {
			r.Fields, err = v.parseFields(value)
			return r, err
		},
	},
	{
		Name: "count", Shared: true,
		Description: "If true, the response has `Total-Count`.",
		Schema:      func(*collections.Collection) *openapi3.Schema { return openapi3.NewBoolSchema() },
		Parse: func(_ *Vocabulary, r Request, value string) (_ Request, err error) {
			r.Count, err = parseBool("count", value)
			return r, err
		},
	},
}

// sortSchema lists the keys by which a collection can be sorted.
func sortSchema(c *collections.Collection) *openapi3.Schema { return SortSchema(query.Columns(c)) }

// SortSchema lists the keys by which a list with these columns can be sorted.
func SortSchema(columns []query.Column) *openapi3.Schema {
	var keys []any
	for _, column := range columns {
		keys = append(keys, column.Name(), "-"+column.Name())
		if column.Nullable() { // the other place than the default
			keys = append(keys, column.Name()+".nullslast", "-"+column.Name()+".nullsfirst")
		}
	}
	return openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema().WithEnum(keys...)).WithMinItems(1).WithMaxItems(maxSortKeys)
}

// IsParameter reports whether a parameter in the table has this name.
func IsParameter(name string) bool {
	_, ok := find(name)
	return ok
}

func find(name string) (Parameter, bool) {
	i := slices.IndexFunc(Parameters, func(p Parameter) bool { return p.Name == name })
	if i < 0 {
		return Parameter{}, false
	}
	return Parameters[i], true
}

func names() (all []string) {
	for _, p := range Parameters {
		all = append(all, p.Name)
	}
	return all
}
