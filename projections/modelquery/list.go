// Package modelquery lists the rows of tables and views of read models in SQL, with the filters,
// sorts and cursors of package query.
package modelquery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// ErrCursor means that a cursor does not belong to the list.
var ErrCursor = errors.New("the cursor does not belong to the list")

var kinds = map[sqlmodel.Kind]query.Kind{
	sqlmodel.Text: query.Text, sqlmodel.Integer: query.Integer, sqlmodel.Number: query.Number,
	sqlmodel.Boolean: query.Boolean, sqlmodel.Time: query.Time, sqlmodel.JSON: query.Text, sqlmodel.Any: query.Text,
}

// Columns returns the columns of a table or view, for filters and sorts.
func Columns(r sqlmodel.Relation) []query.Column {
	columns := make([]query.Column, len(r.Columns))
	for i, c := range r.Columns {
		columns[i] = query.ModelColumn(c.Name, kinds[c.Kind], c.Nullable)
	}
	return columns
}

// A Place is where a page ends: the values of the complete sort order of its last row, and how many
// rows with these values there were.
type Place struct {
	Keys  []any
	Equal int
}

// List passes the rows that match a query to each, one by one, with the values of all columns. A row
// is valid until each returns. If there are more rows than the limit, next is where the page ends.
func List(ctx context.Context, tx *sqlmodel.Tx, r sqlmodel.Relation, q query.Query, each func(row []any) error) (next *Place, err error) {
	keys := sortOrder(r, q.Sort)
	from := Place{}
	if q.After != nil {
		if from.Keys = q.After.Keys; len(from.Keys) != len(keys) {
			return nil, ErrCursor
		}
		if from.Equal, err = strconv.Atoi(q.After.ID); err != nil {
			return nil, ErrCursor
		}
	}
	s := selection(r, q, keys, from)
	given := 0
	at := Place{Keys: slices.Clone(from.Keys), Equal: from.Equal}
	err = tx.Query(ctx, s.Text, s.Args, func(row []any) error {
		if q.Limit > 0 && given == q.Limit {
			next = &at
			return nil
		}
		given++
		values := row[len(r.Columns):]
		if slices.EqualFunc(values, at.Keys, equal) {
			at.Equal++
		} else {
			at = Place{Keys: slices.Clone(values), Equal: 1}
		}
		return each(row[:len(r.Columns)])
	})
	return next, err
}

func equal(a, b any) bool {
	x, ok := a.([]byte)
	y, both := b.([]byte)
	if ok && both {
		return string(x) == string(y)
	}
	return !ok && !both && a == b
}

// Count returns the number of rows that match the filters.
func Count(ctx context.Context, tx *sqlmodel.Tx, r sqlmodel.Relation, q query.Query) (n int64, err error) {
	where, args := conditions(r, q.Filters)
	err = tx.Query(ctx, "SELECT count(*) FROM "+schema.Quote(r.Name)+where, args, func(row []any) error {
		n = row[0].(int64)
		return nil
	})
	return n, err
}

// sortOrder completes a sort: by the key of a table, or by all columns of a view.
func sortOrder(r sqlmodel.Relation, sort []query.SortKey) []query.SortKey {
	keys := slices.Clone(sort)
	descending := len(sort) > 0 && sort[len(sort)-1].Descending
	add := func(column query.Column) {
		if !slices.ContainsFunc(keys, func(k query.SortKey) bool { return k.Column.Name() == column.Name() }) {
			keys = append(keys, query.SortKey{Column: column, Descending: descending})
		}
	}
	columns := Columns(r)
	if len(r.Key) == 0 {
		for _, c := range columns {
			add(c)
		}
		return keys
	}
	for _, name := range r.Key {
		i := slices.IndexFunc(columns, func(c query.Column) bool { return c.Name() == name })
		if i < 0 {
			add(query.ModelColumn(name, query.Integer, false)) // the rowid
			continue
		}
		add(columns[i])
	}
	return keys
}

// selection returns the statement of a list. Its rows have all columns, and then the sort keys. A unary plus hides
// the declared type of a column from the driver, which would turn texts into times.
func selection(r sqlmodel.Relation, q query.Query, keys []query.SortKey, from Place) listsql.Statement {
	var columns, order []string
	for _, c := range r.Columns {
		columns = append(columns, "+"+schema.Quote(c.Name))
	}
	for _, k := range keys {
		name := schema.Quote(k.Column.Name())
		columns = append(columns, "+"+name)
		if k.Descending {
			name += " DESC"
		}
		if k.NullsAtEnd() != k.Descending { // otherwise that is where SQLite puts them
			name += map[bool]string{true: " NULLS LAST", false: " NULLS FIRST"}[k.NullsAtEnd()]
		}
		order = append(order, name)
	}
	where, args := conditions(r, q.Filters)
	if from.Keys != nil {
		after, more := beyond(keys, from.Keys)
		if where == "" {
			where = " WHERE " + after
		} else {
			where += " AND " + after
		}
		args = append(args, more...)
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + schema.Quote(r.Name) + where + " ORDER BY " + strings.Join(order, ", ")
	limit := int64(-1)
	if q.Limit > 0 {
		limit = int64(q.Limit) + 1
	}
	// The rows that are equal to the last one of the page before come first, and are left out.
	return listsql.Statement{Text: text + " LIMIT ? OFFSET ?", Args: append(args, limit, int64(from.Equal))}
}

// beyond returns the condition for the rows from a place on, with those that are equal to it.
func beyond(keys []query.SortKey, values []any) (string, []any) {
	var parts []string
	var args []any
	var same string
	var sameArgs []any
	for i, k := range keys {
		name := schema.Quote(k.Column.Name())
		later, with := after(name, k, values[i])
		if later != "" {
			parts = append(parts, same+later)
			args = append(append(args, sameArgs...), with...)
		}
		same += name + " IS ? AND "
		sameArgs = append(sameArgs, values[i])
	}
	parts = append(parts, strings.TrimSuffix(same, " AND "))
	args = append(args, sameArgs...)
	return "((" + strings.Join(parts, ") OR (") + "))", args
}

// after returns the condition for the values after one, or an empty text if there are none.
func after(name string, k query.SortKey, value any) (string, []any) {
	if value == nil {
		if k.NullsAtEnd() {
			return "", nil
		}
		return name + " IS NOT NULL", nil
	}
	operator := " > ?"
	if k.Descending {
		operator = " < ?"
	}
	if k.NullsAtEnd() {
		return "(" + name + operator + " OR " + name + " IS NULL)", []any{value}
	}
	return name + operator, []any{value}
}

func conditions(r sqlmodel.Relation, filters []query.Filter) (string, []any) {
	var parts []string
	var args []any
	for _, f := range filters {
		c := listsql.Condition(typed(r, f))
		parts = append(parts, c.Text)
		for _, arg := range c.Args {
			args = append(args, bindable(arg))
		}
	}
	if parts == nil {
		return "", nil
	}
	return " WHERE " + strings.Join(parts, " AND "), args
}

// typed compares a column without a type with a number if the value is one. Such a column has what
// an expression of a view returns.
func typed(r sqlmodel.Relation, f query.Filter) query.Filter {
	i := slices.IndexFunc(r.Columns, func(c sqlmodel.Column) bool { return c.Name == f.Column.Name() })
	if i < 0 || r.Columns[i].Kind != sqlmodel.Any || f.Op == query.Prefix {
		return f
	}
	values := slices.Clone(f.Values)
	for i, value := range values {
		text, ok := value.(string)
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			values[i] = n
		} else if n, err := strconv.ParseFloat(text, 64); err == nil {
			values[i] = n
		}
	}
	f.Values = values
	return f
}

// bindable returns a value that the driver takes.
func bindable(value any) any {
	switch value := value.(type) {
	case json.Number:
		return value.String()
	case bool:
		if value {
			return int64(1)
		}
		return int64(0)
	}
	return value
}

// Run passes the rows of a named query to each. Arguments are the values of the parameters by name.
func Run(ctx context.Context, tx *sqlmodel.Tx, q sqlmodel.Query, arguments map[string]any, limit int, each func(row []any) error) error {
	text, args := q.SQL(arguments)
	var columns []string
	for _, c := range q.Columns {
		columns = append(columns, "+"+schema.Quote(c.Name))
	}
	text = "SELECT " + strings.Join(columns, ", ") + " FROM (" + text + "\n) LIMIT " + strconv.Itoa(limit)
	if err := tx.Query(ctx, text, args, each); err != nil {
		return fmt.Errorf("run the query %s: %w", q.Name, err)
	}
	return nil
}
