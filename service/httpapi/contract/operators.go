package contract

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
	{"", projections.Equal, "equals this value"},
	{"gt", projections.Greater, "is greater than this value"},
	{"gte", projections.GreaterOrEqual, "is greater than or equal to this value"},
	{"lt", projections.Less, "is less than this value"},
	{"lte", projections.LessOrEqual, "is less than or equal to this value"},
	{"ne", projections.NotEqual, "differs from this value or is missing"},
	{"in", projections.In, `is one of these values, separated by commas (\, stands for a comma in a value)`},
	{"exists", projections.Present, "is present and not null (true), or is missing or null (false)"},
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
