package api

import "github.com/clusterlite/clusterlite/projections"

// An Operator is how a query parameter names an operator of filters: name[word].
type Operator struct {
	// Word stands in the brackets; empty means that there are none.
	Word string
	Op   projections.Op
	// Means words it for people, after the member's name.
	Means string
}

var operators = []Operator{
	{"", projections.Equal, "is this value"},
	{"gt", projections.Greater, "is greater"},
	{"gte", projections.GreaterOrEqual, "is greater or equal"},
	{"lt", projections.Less, "is less"},
	{"lte", projections.LessOrEqual, "is less or equal"},
	{"ne", projections.NotEqual, "is another value or missing"},
	{"in", projections.In, `is one of these values, comma between (\, is a comma)`},
	{"exists", projections.Present, "is there and not null, if true; is missing or null, if false"},
	{"prefix", projections.Prefix, "starts with this text"},
}

// Operators are those that a column of a kind has. Columns that are never missing do
// without exists: see [projections.Column.Nullable].
func Operators(kind projections.Kind) []Operator {
	if kind == projections.Text {
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
