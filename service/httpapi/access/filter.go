package access

import (
	"fmt"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/clusterlite/clusterlite/projections/query"
)

// A filter is a condition whose slots are still empty. bind fills them with the values for a
// caller; nil is the value of an expression that failed. A filter binds to [everything] or
// [nothing] if the values alone decide.
type filter interface {
	bind(slots []ref.Val) query.Condition
}

var (
	everything = query.All{}
	nothing    = query.AnyOf{}
)

// constant is everything or nothing.
type constant bool

func (c constant) bind([]ref.Val) query.Condition {
	if c {
		return everything
	}
	return nothing
}

// fixed is a condition without slots.
type fixed struct{ condition query.Condition }

func (f fixed) bind([]ref.Val) query.Condition { return f.condition }

// truth depends on the caller alone.
type truth struct {
	slot int
	want bool
}

func (t truth) bind(slots []ref.Val) query.Condition {
	return constant(slots[t.slot] == types.Bool(t.want)).bind(nil)
}

// all is met if all parts are, and anyOf if one is.
type (
	all   []filter
	anyOf []filter
)

func (a all) bind(slots []ref.Val) query.Condition {
	return join[query.All, query.AnyOf](a, slots)
}

func (a anyOf) bind(slots []ref.Val) query.Condition {
	return join[query.AnyOf, query.All](a, slots)
}

// junction is a condition that consists of others.
type junction interface {
	~[]query.Condition
	query.Condition
}

// join binds the parts of a junction, of which Other is the opposite. Parts that bind to the same
// kind of junction are merged into it. An empty part of the opposite kind decides alone: [nothing]
// among all, and [everything] among any.
func join[Same, Other junction](parts []filter, slots []ref.Val) query.Condition {
	bound := Same{}
	for _, part := range parts {
		c := part.bind(slots)
		if same, ok := c.(Same); ok {
			bound = append(bound, same...)
			continue
		}
		if other, ok := c.(Other); ok && len(other) == 0 {
			return other
		}
		bound = append(bound, c)
	}
	if len(bound) == 1 {
		return bound[0]
	}
	return bound
}

// argument converts a value for a comparison with a column. same is false for a value of another
// type, which equals none of the column's.
func argument(column query.Column, value ref.Val) (converted any, same bool) {
	switch v := value.(type) {
	case types.String:
		return string(v), column.Kind() == query.Text || column.Kind() == query.Time
	case types.Int:
		return int64(v), column.Kind() == query.Integer
	case types.Double:
		return float64(v), column.Kind() == query.Integer
	case types.Bool:
		return bool(v), column.Kind() == query.Boolean
	}
	return nil, false
}

func matching(column query.Column, op query.Op, not bool, values ...any) query.Condition {
	return query.Match{Filter: query.Filter{Column: column, Op: op, Values: values, Exact: true}, Not: not}
}

// present is met by the entities that have a value of the column's kind.
func present(column query.Column) query.Condition {
	return matching(column, query.Present, false, true)
}

// match compares a column with a value.
type match struct {
	column query.Column
	op     query.Op
	slot   int
}

func (m match) bind(slots []ref.Val) query.Condition {
	value, same := argument(m.column, slots[m.slot])
	switch {
	case slots[m.slot] == nil:
		return nothing
	case same && m.op == query.NotEqual:
		return matching(m.column, query.Equal, true, value)
	case same:
		return matching(m.column, m.op, false, value)
	case m.op == query.NotEqual:
		return present(m.column)
	}
	return nothing
}

// among looks for a column's value in a list.
type among struct {
	column query.Column
	slot   int
	not    bool
}

func (a among) bind(slots []ref.Val) query.Condition {
	var items traits.Iterator
	switch v := slots[a.slot].(type) {
	case traits.Lister:
		items = v.Iterator()
	case traits.Mapper:
		items = v.Iterator() // over its keys, among which "in" looks
	default:
		return nothing
	}
	values := []any{}
	for items.HasNext() == types.True {
		if value, same := argument(a.column, items.Next()); same {
			values = append(values, value)
		}
	}
	switch {
	case len(values) > 0:
		return matching(a.column, query.In, a.not, values...)
	case a.not:
		return present(a.column)
	}
	return nothing
}

// holds looks for a text in a member that is an array.
type holds struct {
	member string
	slot   int
	not    bool
}

func (h holds) bind(slots []ref.Val) query.Condition {
	switch v := slots[h.slot].(type) {
	case nil:
		return nothing
	case types.String:
		return query.Holds{Member: h.member, Text: string(v), Not: h.not}
	}
	if h.not {
		return query.IsArray{Member: h.member} // no item equals another value
	}
	return nothing
}

// prefixed compares the beginning of a text.
type prefixed struct {
	column query.Column
	slot   int
	not    bool
}

func (p prefixed) bind(slots []ref.Val) query.Condition {
	if s, ok := slots[p.slot].(types.String); ok {
		return matching(p.column, query.Prefix, p.not, string(s))
	}
	return nothing
}

// appendKey appends a text that differs for different conditions.
func appendKey(to []byte, c query.Condition) []byte {
	list := func(name byte, parts []query.Condition) []byte {
		to = append(to, name, '(')
		for _, part := range parts {
			to = append(appendKey(to, part), ',')
		}
		return append(to, ')')
	}
	switch c := c.(type) {
	case query.All:
		return list('a', c)
	case query.AnyOf:
		return list('o', c)
	case query.Match:
		to = fmt.Appendf(to, "m%t%d%s", c.Not, c.Filter.Op, c.Filter.Column.Name())
		for _, v := range c.Filter.Values {
			if s, ok := v.(string); ok {
				to = strconv.AppendQuote(append(to, ' '), s)
			} else {
				to = fmt.Appendf(to, " %T%v", v, v)
			}
		}
		return to
	case query.Holds:
		return strconv.AppendQuote(fmt.Appendf(to, "h%t%s ", c.Not, c.Member), c.Text)
	}
	return fmt.Appendf(to, "%T%v", c, c)
}
