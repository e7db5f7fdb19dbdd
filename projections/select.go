package projections

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A statement is SQL with its arguments. The text is made of column names that were
// declared, and of constants; all that a request brings is an argument.
type statement struct {
	text string
	args []any
}

// conditions turns filters into an SQL condition.
func conditions(filters []Filter) statement {
	var s statement
	for _, f := range filters {
		if s.text != "" {
			s.text += " AND "
		}
		c := condition(f)
		s.text += c.text
		s.args = append(s.args, c.args...)
	}
	return s
}

func condition(f Filter) statement {
	if f.Column == IDColumn() {
		return idCondition(f)
	}
	f = comparand(f)
	column := columnName(f.Column)
	switch f.Op {
	case Present:
		if f.Values[0] == true {
			return statement{text: column + ` IS NOT NULL`}
		}
		return statement{text: column + ` IS NULL`}
	case Prefix:
		prefix := f.Values[0].(string)
		low := statement{column + ` >= ?`, []any{prefix}}
		if high, bounded := afterPrefix(prefix); bounded {
			low.text, low.args = low.text+` AND `+column+` < ?`, append(low.args, high)
		}
		return low
	case In:
		// One argument whatever their number, so that few texts are prepared.
		return statement{column + ` IN (SELECT ` + argument(f, "value") + ` FROM json_each(?))`, []any{jsonArray(f.Values)}}
	}
	operator := map[Op]string{Equal: "=", NotEqual: "IS NOT", Greater: ">", GreaterOrEqual: ">=", Less: "<", LessOrEqual: "<="}[f.Op]
	return statement{column + " " + operator + " " + argument(f, "?"), []any{f.Values[0]}}
}

// idCondition is condition for ids, which the file holds as bytes. They compare as their texts
// do, also with a text that is no id.
func idCondition(f Filter) statement {
	column := columnName(IDColumn())
	text, _ := f.Values[0].(string)
	switch f.Op {
	case Equal:
		return statement{column + " = ?", []any{equalID(text)}}
	case NotEqual:
		return statement{column + " IS NOT ?", []any{equalID(text)}}
	case Greater, GreaterOrEqual, Less, LessOrEqual:
		return compareID(column, f.Op, text)
	case Prefix:
		low := compareID(column, GreaterOrEqual, text)
		if after, bounded := afterPrefix(text); bounded {
			high := compareID(column, Less, after)
			low.text, low.args = low.text+" AND "+high.text, append(low.args, high.args...)
		}
		return low
	case In:
		var ids [][]byte
		for _, v := range f.Values {
			if id, ok := packID(v.(string)); ok {
				ids = append(ids, id)
			}
		}
		return statement{column + " IN (SELECT unhex(value) FROM json_each(?))", []any{hexArray(ids)}}
	}
	return statement{column + map[bool]string{true: " IS NOT NULL", false: " IS NULL"}[f.Values[0] == true], nil}
}

// compareID gives the ids that are greater or less than a text.
func compareID(column string, op Op, text string) statement {
	switch op {
	case Greater:
		return statement{column + " >= ?", []any{firstAfter(text)}}
	case GreaterOrEqual:
		return statement{column + " >= ?", []any{firstFrom(text)}}
	case LessOrEqual:
		return statement{column + " < ?", []any{firstAfter(text)}}
	default:
		return statement{column + " < ?", []any{firstFrom(text)}}
	}
}

// equalID gives the id that a text is, or bytes that no id has.
func equalID(text string) []byte {
	if id, ok := packID(text); ok {
		return id
	}
	return noID
}

// argument makes of a value what the column would make of it. Numbers come as they are
// written: SQLite and Go round one of many digits differently now and then, so it is
// SQLite that reads both the document's and the filter's. An integer is compared exactly
// with a floating-point number, unless it is made one too.
func argument(f Filter, value string) string {
	if f.Column.Kind() == Number {
		return "CAST(" + value + " AS REAL)"
	}
	return value
}

// afterPrefix gives the first text after all that start with the prefix, in the order
// of bytes.
func afterPrefix(prefix string) (string, bool) {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1]), true
		}
	}
	return "", false // of the empty prefix
}

// jsonArray writes values for json_each, which makes 1 and 0 of true and false as the
// columns do.
func jsonArray(values []any) string {
	b, err := json.Marshal(values)
	if err != nil { // scalars can be marshalled
		panic(err)
	}
	return string(b)
}

// A route is the way to the entities of a list.
type route int

const (
	// inOrder leaves the way to SQLite. Most often it walks the order of the list and
	// drops what the filters don't let through.
	inOrder route = iota
	// byFilter searches for what a filter lets through, and sorts that. Columns are
	// written +"name" for it, which SQLite takes for no column that it has an index on.
	byFilter
)

func (r route) column(c Column) string {
	if r == byFilter {
		return "+" + columnName(c)
	}
	return columnName(c)
}

// selects gives the statements whose answers, one after the other, are the list: with a
// place to start after, a list is several ranges. Each is a run of keys that are equal
// to the place's and one that is beyond it, which an index serves; one OR of them all
// it would not.
func selects(q Query, collection string, way route) []statement {
	keys := q.keys()
	filter := conditions(q.Filters)
	columns := "id, version, created_at, updated_at, doc"
	for _, k := range keys[:len(keys)-1] {
		columns += ", " + columnName(k.Column)
	}
	var all []statement
	for _, r := range ranges(q, keys, way) {
		s := statement{text: "SELECT " + columns + " FROM " + quote(collection), args: append(filter.args[:len(filter.args):len(filter.args)], r.args...)}
		if where := join(" AND ", filter.text, r.text); where != "" {
			s.text += " WHERE " + where
		}
		s.text += " ORDER BY " + order(keys[r.fixed:], way)
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

func order(keys []SortKey, way route) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = way.column(k.Column)
		if k.Descending {
			names[i] += " DESC"
		}
		// Without need it is not said: an index then gives the order more often.
		if k.Column.Nullable() && k.nullsLast() != k.Descending {
			names[i] += map[bool]string{true: " NULLS LAST", false: " NULLS FIRST"}[k.nullsLast()]
		}
	}
	return strings.Join(names, ", ")
}

// A keyRange is a part of a list in which the first keys are fixed.
type keyRange struct {
	statement
	fixed int
}

// ranges splits what lies after the place, in the order of the list.
func ranges(q Query, keys []SortKey, way route) []keyRange {
	if q.After == nil {
		return []keyRange{{}}
	}
	values := append(q.After.Keys[:len(q.After.Keys):len(q.After.Keys)], q.After.ID)
	var all []keyRange
	for i := len(keys) - 1; i >= 0; i-- {
		var same statement
		for j, k := range keys[:i] {
			same.text = join(" AND ", same.text, way.column(k.Column)+" IS ?")
			same.args = append(same.args, values[j])
		}
		for _, beyond := range beyond(keys[i], values[i], way) {
			all = append(all, keyRange{statement{join(" AND ", same.text, beyond.text), append(same.args[:i:i], beyond.args...)}, i})
		}
	}
	return all
}

// beyond gives the ranges of one key after a value. NULL comes before all values or after
// them, as the key says.
func beyond(k SortKey, value any, way route) []statement {
	if k.Column == IDColumn() {
		op := Greater
		if k.Descending {
			op = Less
		}
		return []statement{compareID(way.column(IDColumn()), op, value.(string))}
	}
	column := way.column(k.Column)
	if value == nil {
		if k.nullsLast() {
			return nil
		}
		return []statement{{text: column + " IS NOT NULL"}}
	}
	operator := " > ?"
	if k.Descending {
		operator = " < ?"
	}
	ranges := []statement{{column + operator, []any{value}}}
	if k.Column.Nullable() && k.nullsLast() {
		ranges = append(ranges, statement{text: column + " IS NULL"})
	}
	return ranges
}

// count is the statement that counts what the filters let through.
func countQuery(q Query, collection string) statement {
	filter := conditions(q.Filters)
	if filter.text == "" {
		// The digests are kept with the rows, so this costs nothing.
		return statement{`SELECT coalesce((SELECT living FROM _digests WHERE collection = ?), 0)`, []any{collection}}
	}
	return statement{fmt.Sprintf(`SELECT count(*) FROM %s WHERE %s`, quote(collection), filter.text), filter.args}
}
