package matching

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/query"
)

// compare compares a row with a filter. literal is the value of the member in the document, or nil.
// known is false if only SQLite knows the answer.
func compare(f query.Filter, row *Row, literal jsontext.Value) (matches, known bool) {
	value, known := serverValue(f.Column, row)
	if !known {
		if f.Op == query.Present {
			return (len(literal) > 0 && literal.Kind() != 'n') == (f.Values[0] == true), true
		}
		if value, known = columnValue(f.Column.Kind(), literal); !known {
			return false, false
		}
	}
	if value == nil {
		return f.Op == query.NotEqual, true
	}
	if f.Op == query.Prefix {
		prefix, text := f.Values[0].(string), value.(string)
		if folds(f) {
			prefix, text = collections.Fold(prefix), collections.Fold(text)
		}
		return strings.HasPrefix(text, prefix), true
	}
	found := false
	for _, other := range f.Values {
		c, comparable := order(f, value, other)
		if !comparable {
			return false, false
		}
		found = found || f.Op.Holds(c)
	}
	return found, true
}

// folds reports whether a filter compares folded texts.
func folds(f query.Filter) bool {
	return !f.Exact && f.Column.IgnoresCase() && slices.Contains([]query.Op{query.Equal, query.NotEqual, query.Prefix, query.In}, f.Op)
}

// serverValue returns the value of a column of the server's.
func serverValue(c query.Column, row *Row) (value any, is bool) {
	if !c.ServerColumn() {
		return nil, false
	}
	switch c.Name() {
	case "id":
		return row.ID, true
	case "version":
		return row.Version, true
	case "created_at":
		return row.CreatedAt, true
	case "updated_at":
		return row.UpdatedAt, true
	}
	return nil, false
}

// columnValue returns the value that a column has for a literal of its own type: nil, a string, an
// int64 or a float64.
func columnValue(kind query.Kind, literal jsontext.Value) (value any, known bool) {
	if len(literal) == 0 || literal.Kind() == 'n' {
		return nil, true
	}
	switch is := literal.Kind(); {
	case kind == query.Text && is == '"':
		text, err := document.Scalar(literal)
		return text, err == nil
	case kind == query.Integer && is == '0':
		return wholeNumber(string(literal))
	case kind == query.Number && is == '0':
		return exactFloat(string(literal))
	case kind == query.Boolean && (is == 't' || is == 'f'):
		return truth(is == 't'), true
	}
	return nil, false
}

// order compares a value of a column with one of a filter.
func order(f query.Filter, value, other any) (c int, known bool) {
	switch f.Column.Kind() {
	case query.Text, query.Time:
		a, b := value.(string), other.(string)
		if folds(f) {
			a, b = collections.Fold(a), collections.Fold(b)
		}
		return strings.Compare(a, b), true
	case query.Integer:
		b, ok := other.(int64)
		return cmp.Compare(value.(int64), b), ok
	case query.Boolean:
		b, ok := other.(bool)
		return cmp.Compare(value.(int64), truth(b)), ok
	case query.Number:
		text, ok := other.(json.Number)
		if !ok {
			return 0, false
		}
		b, exact := exactFloat(string(text))
		if !exact {
			return 0, false
		}
		return cmp.Compare(value.(float64), b.(float64)), true
	}
	return 0, false
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// wholeNumber reads an integer without fraction and exponent.
func wholeNumber(literal string) (any, bool) {
	n, err := strconv.ParseInt(literal, 10, 64)
	return n, err == nil
}

const (
	// Numbers with so few digits, and with the point so few digits away, are rounded correctly by
	// any algorithm that computes with a hundred bits, as SQLite's does.
	maxExactDigits   = 15
	maxExactExponent = 10
)

// exactFloat reads a number that SQLite and Go certainly round to the same float.
func exactFloat(literal string) (any, bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(literal), "e")
	e := 0
	if exponent != "" {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil {
			return nil, false
		}
	}
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	if e -= len(fraction); len(whole)+len(fraction) > maxExactDigits || e < -maxExactExponent || e > maxExactExponent {
		return nil, false
	}
	f, err := strconv.ParseFloat(literal, 64)
	return f, err == nil
}
