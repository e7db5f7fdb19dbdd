package listing

import "github.com/clusterlite/clusterlite/projections/query"

// An Operator is an operator of filters as query parameters name it: name[word].
type Operator struct {
	// Word stands in the brackets; empty means no brackets.
	Word string
	Op   query.Op
	// Means describes it, as the end of a sentence that begins with the member's name.
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

// Operators returns the operators of a column of this kind. Leave out exists for a column that is
// never missing: see [query.Column.Nullable].
func Operators(kind query.Kind) []Operator {
	if kind == query.Text {
		return operators
	}
	return operators[:len(operators)-1] // prefix is the last, and only for texts
}

// FilterName returns the query parameter that filters a member with an operator.
func FilterName(member string, o Operator) string {
	if o.Word == "" {
		return member
	}
	return member + "[" + o.Word + "]"
}
