package contract

import "github.com/clusterlite/clusterlite/projections/query"

// An Operator is how a query parameter names an operator of filters: name[word].
type Operator struct {
	// Word stands in the brackets; empty means that there are none.
	Word string
	Op   query.Op
	// Means words it for people, after the member's name.
	Means string
}

var operators = []Operator{
	{"", query.Equal, "equals this value"},
	{"gt", query.Greater, "is greater than this value"},
	{"gte", query.GreaterOrEqual, "is greater than or equal to this value"},
	{"lt", query.Less, "is less than this value"},
	{"lte", query.LessOrEqual, "is less than or equal to this value"},
	{"ne", query.NotEqual, "differs from this value or is missing"},
	{"in", query.In, `is one of these values, separated by commas (\, stands for a comma in a value)`},
	{"exists", query.Present, "is present and not null (true), or is missing or null (false)"},
	{"prefix", query.Prefix, "starts with this text"},
}

// Operators are those that a column of a kind has. Columns that are never missing do
// without exists: see [query.Column.Nullable].
func Operators(kind query.Kind) []Operator {
	if kind == query.Text {
		return operators
	}
	return operators[:len(operators)-1] // prefix is the last, and for texts alone
}

// FilterName is the query parameter that filters a member with an operator.
func FilterName(member string, o Operator) string {
	if o.Word == "" {
		return member
	}
	return member + "[" + o.Word + "]"
}

// ListParameters are the parameters of lists that are no filters.
var ListParameters = []string{"limit", "after", "sort", "fields", "count"}
