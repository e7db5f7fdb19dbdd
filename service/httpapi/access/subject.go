package access

import (
	"bytes"
	"cmp"
	"strings"
	"sync"

	"cel.dev/cel-go/common/types"

	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// A subject is a caller and an entity for which a filter is evaluated.
type subject struct {
	who    caller.Caller
	entity entity
	slots  []slot
}

var subjects = sync.Pool{New: func() any { return new(subject) }}

// meets evaluates the filter of a rule for an entity.
func (r *rule) meets(who caller.Caller, e entity) bool {
	s := subjects.Get().(*subject)
	e.values = s.entity.values[:0]
	s.who, s.entity, s.slots = who, e, r.slots
	met := r.filter.meets(s)
	clear(s.entity.values)
	*s = subject{entity: entity{values: s.entity.values}} // what it held may be large
	subjects.Put(s)
	return met
}

func (s *subject) value(slot int) value { return s.slots[slot].value(&s.who) }

func (c constant) meets(*subject) bool { return bool(c) }

func (t truth) meets(s *subject) bool { return s.value(t.slot).isTruth(t.want) }

func (a all) meets(s *subject) bool {
	for _, part := range a {
		if !part.meets(s) {
			return false
		}
	}
	return true
}

func (a anyOf) meets(s *subject) bool {
	for _, part := range a {
		if part.meets(s) {
			return true
		}
	}
	return false
}

// meets reports what a condition without slots says of the entity. The compiler makes three kinds.
func (f fixed) meets(s *subject) bool {
	switch c := f.condition.(type) {
	case query.Match:
		literal := s.entity.literal(c.Filter.Column.Name())
		return len(literal) > 0 && (literal[0] == 't' || literal[0] == 'f') && (literal[0] == 't') == c.Filter.Values[0]
	case query.Comparison:
		left, right := s.member(c.Left), s.member(c.Right)
		return left.kind != noValue && right.kind != noValue && c.Op.Holds(order(left, right))
	case query.Has:
		return s.entity.has(c.Member) != c.Not
	}
	return false
}

// member returns the value of a column, or no value if the member is missing or not of the
// column's kind.
func (s *subject) member(c query.Column) value {
	literal := s.entity.literal(c.Name())
	if len(literal) == 0 {
		return value{}
	}
	switch is := literal.Kind(); {
	case (c.Kind() == query.Text || c.Kind() == query.Time) && is == '"':
		if text, err := document.Scalar(literal); err == nil {
			return value{kind: textValue, text: text.(string)}
		}
	case c.Kind() == query.Integer && is == '0':
		if n, err := wholeNumber(string(literal)); err == nil {
			return value{kind: wholeValue, whole: n.(int64)}
		}
	case c.Kind() == query.Boolean && (is == 't' || is == 'f'):
		return value{kind: truthValue, truth: is == 't'}
	}
	return value{}
}

// order compares two values of one kind, or an integer with a number. Truth values are equal or not.
func order(a, b value) int {
	switch {
	case b.kind == floatValue:
		return int(types.Int(a.whole).Compare(types.Double(b.float)).(types.Int))
	case a.kind == wholeValue:
		return cmp.Compare(a.whole, b.whole)
	case a.kind == truthValue && a.truth != b.truth:
		return 1
	}
	return strings.Compare(a.text, b.text)
}

func (m match) meets(s *subject) bool {
	v := s.value(m.slot)
	if v.kind == noValue {
		return false
	}
	if m.op == query.Equal && v.kind == textValue {
		if equal, known := s.isText(m.column, v.text); known {
			return equal
		}
	}
	is := s.member(m.column)
	if is.kind == noValue {
		return false
	}
	if _, same := argument(m.column, v); !same {
		return m.op == query.NotEqual
	}
	return m.op.Holds(order(is, v))
}

// isText compares a column with a text. It makes no copy. known is false if it would have to.
func (s *subject) isText(c query.Column, text string) (equal, known bool) {
	if c.Kind() != query.Text {
		return false, false
	}
	literal := s.entity.literal(c.Name())
	if len(literal) < 2 || literal[0] != '"' {
		return false, true
	}
	inner := literal[1 : len(literal)-1]
	return string(inner) == text, bytes.IndexByte(inner, '\\') < 0
}

func (a among) meets(s *subject) bool {
	is := s.member(a.column)
	if is.kind == noValue {
		return false
	}
	within := s.value(a.slot)
	if within.kind == rolesValue && is.kind == textValue {
		return within.who.Has(is.text) != a.not
	}
	found := false
	has := within.each(func(item value) bool {
		_, same := argument(a.column, item)
		found = same && order(is, item) == 0
		return !found
	})
	return has && found != a.not
}

func (h holds) meets(s *subject) bool {
	array := s.entity.literal(h.member)
	if len(array) == 0 || array[0] != '[' {
		return false
	}
	switch v := s.value(h.slot); v.kind {
	case noValue:
		return false
	case textValue:
		return document.Holds(array, v.text) != h.not
	}
	return h.not
}

func (p prefixed) meets(s *subject) bool {
	prefix, is := s.value(p.slot), s.member(p.column)
	return prefix.kind == textValue && is.kind == textValue && strings.HasPrefix(is.text, prefix.text) != p.not
}
