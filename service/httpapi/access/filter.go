package access

import (
	"fmt"
	"strconv"

	"github.com/clusterlite/clusterlite/projections/query"
)

// A filter is a rule for reads in the form of a tree of comparisons. bind turns it into the
// condition of a query for one caller. It binds to [everything] or [nothing] if the caller alone
// decides. meets evaluates it for one entity. Both agree with the expression of the rule.
//
// The slots of a filter are the parts of the expression that depend on the caller alone.
type filter interface {
	bind(slots []value) query.Condition
	meets(s *subject) bool
}

var (
	everything = query.All{}
	nothing    = query.AnyOf{}
)

// constant is everything or nothing.
type constant bool

func (c constant) bind([]value) query.Condition {
	if c {
		return everything
	}
	return nothing
}

// fixed is a condition without slots.
type fixed struct{ condition query.Condition }

func (f fixed) bind([]value) query.Condition { return f.condition }

// truth depends on the caller alone.
type truth struct {
	slot int
	want bool
}

func (t truth) bind(slots []value) query.Condition {
	return constant(slots[t.slot].isTruth(t.want)).bind(nil)
}

// all is met if all parts are, and anyOf if one is.
type (
	all   []filter
	anyOf []filter
)

func (a all) bind(slots []value) query.Condition {
	return join[query.All, query.AnyOf](a, slots)
}

func (a anyOf) bind(slots []value) query.Condition {
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
func join[Same, Other junction](parts []filter, slots []value) query.Condition {
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
func argument(column query.Column, v value) (converted any, same bool) {
	switch v.kind {
	case textValue:
		return v.text, column.Kind() == query.Text || column.Kind() == query.Time
	case wholeValue:
		return v.whole, column.Kind() == query.Integer
	case floatValue:
		return v.float, column.Kind() == query.Integer
	case truthValue:
		return v.truth, column.Kind() == query.Boolean
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

func (m match) bind(slots []value) query.Condition {
	value, same := argument(m.column, slots[m.slot])
	switch {
	case slots[m.slot].kind == noValue:
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

func (a among) bind(slots []value) query.Condition {
	values := []any{}
	if !slots[a.slot].each(func(item value) bool {
		if converted, same := argument(a.column, item); same {
			values = append(values, converted)
		}
		return true
	}) {
		return nothing
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

func (h holds) bind(slots []value) query.Condition {
	switch v := slots[h.slot]; {
	case v.kind == noValue:
		return nothing
	case v.kind == textValue:
		return query.Holds{Member: h.member, Text: v.text, Not: h.not}
	case h.not:
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

func (p prefixed) bind(slots []value) query.Condition {
	if v := slots[p.slot]; v.kind == textValue {
		return matching(p.column, query.Prefix, p.not, v.text)
	}
	return nothing
}

// conjuncts returns the filters that every entity meets which meets f.
func conjuncts(f filter) []filter {
	parts, ok := f.(all)
	if !ok {
		return []filter{f}
	}
	var flat []filter
	for _, part := range parts {
		flat = append(flat, conjuncts(part)...)
	}
	return flat
}

// unindexed returns the members of which every entity that meets a filter has a certain value, or one
// of a list, if none of them has an index.
func unindexed(f filter) (members []string) {
	for _, part := range conjuncts(f) {
		var column query.Column
		switch p := part.(type) {
		case match:
			if p.op != query.Equal {
				continue
			}
			column = p.column
		case among:
			if p.not {
				continue
			}
			column = p.column
		default:
			continue
		}
		if column.Indexed() {
			return nil
		}
		members = append(members, column.Name())
	}
	return members
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
		to = strconv.AppendInt(strconv.AppendBool(append(to, 'm'), c.Not), int64(c.Filter.Op), 10)
		to = append(to, c.Filter.Column.Name()...)
		for _, v := range c.Filter.Values {
			to = appendValue(append(to, ' '), v)
		}
		return to
	case query.Holds:
		to = append(strconv.AppendBool(append(to, 'h'), c.Not), c.Member...)
		return strconv.AppendQuote(append(to, ' '), c.Text)
	}
	return fmt.Appendf(to, "%T%v", c, c)
}

func appendValue(to []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return strconv.AppendQuote(to, v)
	case int64:
		return strconv.AppendInt(append(to, 'i'), v, 10)
	case bool:
		return strconv.AppendBool(append(to, 'b'), v)
	}
	return fmt.Appendf(to, "%T%v", v, v)
}
