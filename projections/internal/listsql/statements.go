// Package listsql turns the queries of package query into SQL statements.
package listsql

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
)

// ColumnName returns the column's name in SQL.
func ColumnName(c query.Column) string {
	if c.IsFolded() {
		return schema.Quote(schema.FoldedColumn(c.Name()))
	}
	return schema.Quote(c.Name())
}

// Comparand returns the filter to execute. Filters that ignore case compare folded values.
func Comparand(f query.Filter) query.Filter {
	if f.Exact || !f.Column.IgnoresCase() || f.Column.IsFolded() || !slices.Contains([]query.Op{query.Equal, query.NotEqual, query.Prefix, query.In}, f.Op) {
		return f
	}
	f.Column = f.Column.Folded()
	folded := make([]any, len(f.Values))
	for i, v := range f.Values {
		folded[i] = collections.Fold(v.(string))
	}
	f.Values = folded
	return f
}

// A Statement is SQL with its arguments. The text consists of the names of declared columns and
// of constants. Everything from a request is an argument.
type Statement struct {
	Text string
	Args []any
}

// conditions turns filters into an SQL condition.
func conditions(filters []query.Filter) Statement {
	var s Statement
	for _, f := range filters {
		if s.Text != "" {
			s.Text += " AND "
		}
		c := Condition(f)
		s.Text += c.Text
		s.Args = append(s.Args, c.Args...)
	}
	return s
}

// Condition turns a filter into an SQL condition.
func Condition(f query.Filter) Statement {
	if f.Column == query.IDColumn() {
		return idCondition(f)
	}
	if f = Comparand(f); f.Column.IsFolded() {
		return foldedCondition(f)
	}
	column := ColumnName(f.Column)
	switch f.Op {
	case query.Present:
		if f.Values[0] == true {
			return Statement{Text: column + ` IS NOT NULL`}
		}
		return Statement{Text: column + ` IS NULL`}
	case query.Prefix:
		return prefixCondition(column, f.Values[0].(string))
	case query.In:
		// Use one argument for any number of values, so that few texts have to be prepared.
		return Statement{column + ` IN (SELECT ` + argument(f, "value") + ` FROM json_each(?))`, []any{jsonArray(f.Values)}}
	}
	operator := map[query.Op]string{query.Equal: "=", query.NotEqual: "IS NOT", query.Greater: ">", query.GreaterOrEqual: ">=", query.Less: "<", query.LessOrEqual: "<="}[f.Op]
	return Statement{column + " " + operator + " " + argument(f, "?"), []any{f.Values[0]}}
}

func prefixCondition(column, prefix string) Statement {
	low := Statement{column + ` >= ?`, []any{prefix}}
	if high, bounded := afterPrefix(prefix); bounded {
		low.Text, low.Args = low.Text+` AND `+column+` < ?`, append(low.Args, high)
	}
	return low
}

// foldedCondition compares folded values with a filter's, which [Comparand] has folded. A column of
// its own has the folded values that differ from the document's, and each of the two columns has
// an index.
func foldedCondition(f query.Filter) Statement {
	plain, folded := schema.Quote(f.Column.Name()), ColumnName(f.Column)
	var one, other Statement
	switch f.Op {
	case query.NotEqual:
		return Statement{`coalesce(` + folded + `, ` + plain + `) IS NOT ?`, []any{f.Values[0]}}
	case query.Prefix:
		prefix := f.Values[0].(string)
		one, other = prefixCondition(plain, prefix), prefixCondition(folded, prefix)
		// Folding may change a value that has the prefix, so that it no longer has it.
		one.Text += ` AND ` + folded + ` IS NULL`
	case query.In:
		// Folding a folded value again does not change it, so a document that holds one of
		// these values has no other folded value.
		in, args := ` IN (SELECT value FROM json_each(?))`, []any{jsonArray(f.Values)}
		one, other = Statement{plain + in, args}, Statement{folded + in, args}
	default:
		one, other = Statement{plain + ` = ?`, f.Values}, Statement{folded + ` = ?`, f.Values}
	}
	return Statement{`(` + one.Text + ` OR ` + other.Text + `)`, slices.Concat(one.Args, other.Args)}
}

// idCondition is Condition for ids, which the file stores as bytes. They compare as their texts
// do, even with a text that is not an id.
func idCondition(f query.Filter) Statement {
	column := ColumnName(query.IDColumn())
	text, _ := f.Values[0].(string)
	switch f.Op {
	case query.Equal:
		return Statement{column + " = ?", []any{EqualID(text)}}
	case query.NotEqual:
		return Statement{column + " IS NOT ?", []any{EqualID(text)}}
	case query.Greater, query.GreaterOrEqual, query.Less, query.LessOrEqual:
		return compareID(column, f.Op, text)
	case query.Prefix:
		low := compareID(column, query.GreaterOrEqual, text)
		if after, bounded := afterPrefix(text); bounded {
			high := compareID(column, query.Less, after)
			low.Text, low.Args = low.Text+" AND "+high.Text, append(low.Args, high.Args...)
		}
		return low
	case query.In:
		var ids [][]byte
		for _, v := range f.Values {
			if id, ok := rowformat.PackID(v.(string)); ok {
				ids = append(ids, id)
			}
		}
		return Statement{column + " IN (SELECT unhex(value) FROM json_each(?))", []any{rowformat.HexArray(ids)}}
	}
	return Statement{column + map[bool]string{true: " IS NOT NULL", false: " IS NULL"}[f.Values[0] == true], nil}
}

// compareID compares the id column with a text.
func compareID(column string, op query.Op, text string) Statement {
	switch op {
	case query.Greater:
		return Statement{column + " >= ?", []any{rowformat.FirstAfter(text)}}
	case query.GreaterOrEqual:
		return Statement{column + " >= ?", []any{rowformat.FirstFrom(text)}}
	case query.LessOrEqual:
		return Statement{column + " < ?", []any{rowformat.FirstAfter(text)}}
	default:
		return Statement{column + " < ?", []any{rowformat.FirstFrom(text)}}
	}
}

// EqualID returns the packed id of a text, or bytes that equal no id.
func EqualID(text string) []byte {
	if id, ok := rowformat.PackID(text); ok {
		return id
	}
	return rowformat.NoID
}

// argument converts a value as the column converts it. Numbers are passed as they are written:
// SQLite and Go sometimes round a number with many digits differently, so SQLite parses both
// the document's and the filter's. SQLite would otherwise compare an integer with a
// floating-point number exactly.
func argument(f query.Filter, value string) string {
	if f.Column.Kind() == query.Number {
		return "CAST(" + value + " AS REAL)"
	}
	return value
}

// afterPrefix returns the first text after all texts that start with the prefix, in the order
// of bytes.
func afterPrefix(prefix string) (string, bool) {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1]), true
		}
	}
	return "", false // for the empty prefix
}

// jsonArray encodes values for json_each, which turns true and false into 1 and 0 as the
// columns do.
func jsonArray(values []any) string {
	b, err := json.Marshal(values)
	if err != nil { // scalars can always be marshalled
		panic(err)
	}
	return string(b)
}

// A Route is a way to find the entities of a list.
type Route int

const (
	// InOrder leaves the choice to SQLite. It usually walks the list in its order and drops
	// what the filters exclude.
	InOrder Route = iota
	// ByFilter searches for what a filter selects, and sorts it. Columns are written as
	// +"name", which SQLite does not match with any index.
	ByFilter
)

func (r Route) column(c query.Column) string {
	if r == ByFilter {
		return "+" + ColumnName(c)
	}
	return ColumnName(c)
}

// Selects returns the statements whose results, one after another, form the list. With a
// cursor, a list consists of several ranges, each with some keys equal to the cursor's and one
// beyond it. An index serves each of them, but would not serve one OR of all.
func Selects(q query.Query, collection string, way Route) []Statement {
	keys := q.Keys()
	filter := where(q)
	columns := "id, version, created_at, updated_at, doc"
	for _, k := range keys[:len(keys)-1] {
		columns += ", " + ColumnName(k.Column)
	}
	var all []Statement
	for _, r := range ranges(q, keys, way) {
		s := Statement{Text: "SELECT " + columns + " FROM " + schema.Quote(collection), Args: append(filter.Args[:len(filter.Args):len(filter.Args)], r.Args...)}
		if where := join(" AND ", filter.Text, r.Text); where != "" {
			s.Text += " WHERE " + where
		}
		s.Text += " ORDER BY " + order(keys[r.fixed:], way)
		all = append(all, s)
	}
	return all
}

func join(separator string, parts ...string) string {
	var there []string
	for _, p := range parts {
		if p != "" {
			there = append(there, p)
		}
	}
	return strings.Join(there, separator)
}

func order(keys []query.SortKey, way Route) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = way.column(k.Column)
		if k.Descending {
			names[i] += " DESC"
		}
		// Omit it if possible: an index then serves the order more often.
		if k.Column.Nullable() && k.NullsAtEnd() != k.Descending {
			names[i] += map[bool]string{true: " NULLS LAST", false: " NULLS FIRST"}[k.NullsAtEnd()]
		}
	}
	return strings.Join(names, ", ")
}

// A keyRange is a part of a list in which the first keys are fixed.
type keyRange struct {
	Statement
	fixed int
}

// ranges splits what follows the cursor into ranges, in the order of the list.
func ranges(q query.Query, keys []query.SortKey, way Route) []keyRange {
	if q.After == nil {
		return []keyRange{{}}
	}
	values := append(q.After.Keys[:len(q.After.Keys):len(q.After.Keys)], q.After.ID)
	var all []keyRange
	for i := len(keys) - 1; i >= 0; i-- {
		var same Statement
		for j, k := range keys[:i] {
			same.Text = join(" AND ", same.Text, way.column(k.Column)+" IS ?")
			same.Args = append(same.Args, values[j])
		}
		for _, beyond := range beyond(keys[i], values[i], way) {
			all = append(all, keyRange{Statement{join(" AND ", same.Text, beyond.Text), append(same.Args[:i:i], beyond.Args...)}, i})
		}
	}
	return all
}

// beyond returns the ranges of one key after a value. NULL precedes or follows all values, as
// the key says.
func beyond(k query.SortKey, value any, way Route) []Statement {
	if k.Column == query.IDColumn() {
		op := query.Greater
		if k.Descending {
			op = query.Less
		}
		return []Statement{compareID(way.column(query.IDColumn()), op, value.(string))}
	}
	column := way.column(k.Column)
	if value == nil {
		if k.NullsAtEnd() {
			return nil
		}
		return []Statement{{Text: column + " IS NOT NULL"}}
	}
	operator := " > ?"
	if k.Descending {
		operator = " < ?"
	}
	ranges := []Statement{{column + operator, []any{value}}}
	if k.Column.Nullable() && k.NullsAtEnd() {
		ranges = append(ranges, Statement{Text: column + " IS NULL"})
	}
	return ranges
}

// Count returns the statement that counts what the filters select.
func Count(q query.Query, collection string) Statement {
	filter := where(q)
	if filter.Text == "" {
		// The summaries are stored with the rows, so this costs nothing.
		return Statement{`SELECT coalesce((SELECT living FROM _digests WHERE collection = ?), 0)`, []any{collection}}
	}
	return Statement{fmt.Sprintf(`SELECT count(*) FROM %s WHERE %s`, schema.Quote(collection), filter.Text), filter.Args}
}
