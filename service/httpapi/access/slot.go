package access

import (
	"math"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// A valueKind is the type of a [value].
type valueKind int

const (
	noValue valueKind = iota // of an expression that failed
	textValue
	wholeValue
	floatValue
	truthValue
	rolesValue // the roles of the caller
	otherValue
)

// A value is the result of an expression over the caller.
type value struct {
	kind  valueKind
	text  string
	whole int64
	float float64
	truth bool
	who   *caller.Caller // for rolesValue
	other ref.Val        // for otherValue
}

// valueOf converts a result of CEL. Nil is an expression that failed.
func valueOf(v ref.Val) value {
	switch v := v.(type) {
	case nil:
		return value{}
	case types.String:
		return value{kind: textValue, text: string(v)}
	case types.Int:
		return value{kind: wholeValue, whole: int64(v)}
	case types.Double:
		return value{kind: floatValue, float: float64(v)}
	case types.Bool:
		return value{kind: truthValue, truth: bool(v)}
	}
	return value{kind: otherValue, other: v}
}

func (v value) isTruth(want bool) bool { return v.kind == truthValue && v.truth == want }

// each calls yield for the items among which "in" looks, until it returns false. It reports
// whether the value has items at all.
func (v value) each(yield func(value) bool) bool {
	if v.kind == rolesValue {
		roles := v.who.Roles
		if v.who.IsAnonymous() {
			roles = anonymousRoles
		}
		for _, role := range roles {
			if v.who.Has(role) && !yield(value{kind: textValue, text: role}) {
				break
			}
		}
		return true
	}
	var items traits.Iterator
	switch other := v.other.(type) {
	case traits.Lister:
		items = other.Iterator()
	case traits.Mapper:
		items = other.Iterator() // over its keys
	default:
		return false
	}
	for items.HasNext() == types.True && yield(valueOf(items.Next())) {
	}
	return true
}

// A slot computes a part of a rule that depends on the caller alone. The most frequent forms are
// computed without CEL, which needs several times as long. Immutable.
type slot struct {
	direct  func(*caller.Caller) (v value, known bool) // nil, or not known: ask the program
	program cel.Program
}

func (s *slot) value(who *caller.Caller) value {
	if s.direct != nil {
		if v, known := s.direct(who); known {
			return v
		}
	}
	return valueOf(evaluate(s.program, &evaluation{auth: identity{*who}}))
}

// directly returns the function of a slot whose expression has one of the most frequent forms, or
// nil.
func directly(e ast.Expr) func(*caller.Caller) (value, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		v := valueOf(e.AsLiteral())
		return func(*caller.Caller) (value, bool) { return v, v.kind != otherValue }
	case ast.SelectKind:
		return selected(e.AsSelect())
	case ast.CallKind:
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.LogicalNot:
			if of := directly(args[0]); of != nil {
				return func(who *caller.Caller) (value, bool) {
					v, known := of(who)
					v.truth = !v.truth
					return v, known && v.kind == truthValue
				}
			}
		case operators.In:
			item, within := directly(args[0]), args[1]
			if item != nil && isMemberOfAuth(within, "roles") {
				return func(who *caller.Caller) (value, bool) {
					v, known := item(who)
					return value{kind: truthValue, truth: who.Has(v.text)}, known && v.kind == textValue
				}
			}
		}
	}
	return nil
}

// isMemberOfAuth reports whether an expression is auth.NAME.
func isMemberOfAuth(e ast.Expr, name string) bool {
	if e.Kind() != ast.SelectKind {
		return false
	}
	s := e.AsSelect()
	return !s.IsTestOnly() && s.FieldName() == name && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == authName
}

// selected is directly for a member.
func selected(s ast.SelectExpr) func(*caller.Caller) (value, bool) {
	name := s.FieldName()
	if isMemberOfAuth(s.Operand(), "claims") && !s.IsTestOnly() {
		return func(who *caller.Caller) (value, bool) { return claimed(who.Claims[name]) }
	}
	if s.Operand().Kind() != ast.IdentKind || s.Operand().AsIdent() != authName {
		return nil
	}
	switch {
	case name == "sub" && s.IsTestOnly():
		return func(who *caller.Caller) (value, bool) {
			return value{kind: truthValue, truth: !who.IsAnonymous()}, true
		}
	case name == "sub":
		return func(who *caller.Caller) (value, bool) {
			if who.IsAnonymous() {
				return value{}, true
			}
			return value{kind: textValue, text: who.Name}, true
		}
	case name == "roles" && !s.IsTestOnly():
		return func(who *caller.Caller) (value, bool) { return value{kind: rolesValue, who: who}, true }
	}
	return nil
}

// claimed returns the value of a claim that is a text, a number, a truth value or missing, as
// [plain] converts it.
func claimed(claim any) (v value, known bool) {
	switch c := claim.(type) {
	case nil:
		return value{}, true
	case string:
		return value{kind: textValue, text: c}, true
	case bool:
		return value{kind: truthValue, truth: c}, true
	case float64:
		switch {
		case math.Abs(c) >= maxExact:
			return value{}, true
		case c == math.Trunc(c):
			return value{kind: wholeValue, whole: int64(c)}, true
		}
		return value{kind: floatValue, float: c}, true
	}
	return value{}, false
}
