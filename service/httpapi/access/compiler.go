package access

import (
	"regexp"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/clusterlite/clusterlite/projections/query"
)

// maxParts is the maximum number of comparisons in the condition of a rule.
const maxParts = 300

// A compiler turns the expression of a rule for Read into a filter. Parts that depend on the
// caller alone become slots, whose values are computed for each request.
//
// CEL has three results: true, false and an error; && and || treat an error as SQL treats NULL.
// The compiler asks of each part when it is certainly true or certainly false, and moves negations
// down to single comparisons. So the condition is true for exactly the entities for which the
// expression is.
type compiler struct {
	*environment
	env    *cel.Env
	ast    *ast.AST
	member string
	slots  []slot
	known  map[int64]int // the slot of each expression that has one
	parts  int
	// lenient replaces what can't be turned into a condition by one that may be met.
	lenient bool
}

// compile returns the filter of the entities for which an expression is certainly true, or with
// want false, certainly false.
func (c *compiler) compile(e ast.Expr, want bool) (filter, error) {
	f, err := c.translate(e, want)
	if err != nil && c.lenient {
		return fixed{query.Has{Member: "unknown"}}, nil
	}
	return f, err
}

func (c *compiler) translate(e ast.Expr, want bool) (filter, error) {
	if c.parts++; c.parts > maxParts {
		return nil, c.unsupported(e, "the expression is too complex")
	}
	if !refersToEntity(e) {
		slot, err := c.slot(e)
		return truth{slot, want}, err
	}
	switch e.Kind() {
	case ast.CallKind:
		return c.call(e, want)
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return c.presence(e, want)
		}
		column, err := c.column(e)
		if err != nil {
			return nil, err
		}
		return fixed{query.Match{Filter: query.Filter{Column: column, Op: query.Equal, Values: []any{want}}}}, nil
	case ast.ComprehensionKind:
		return nil, c.unsupported(e, "a read rule can't loop over an entity's members or for each entity; use \"in\", such as auth.sub in old.members or old.team in auth.roles")
	}
	return nil, c.unsupported(e, "a read rule can't contain this, because it can't be turned into a query")
}

// opposites are the operators that are true where another is false.
var opposites = map[string]string{
	operators.Equals: operators.NotEquals, operators.NotEquals: operators.Equals,
	operators.Less: operators.GreaterEquals, operators.GreaterEquals: operators.Less,
	operators.Greater: operators.LessEquals, operators.LessEquals: operators.Greater,
}

func (c *compiler) call(e ast.Expr, want bool) (filter, error) {
	call := e.AsCall()
	args := call.Args()
	switch name := call.FunctionName(); name {
	case operators.LogicalAnd, operators.LogicalOr:
		parts := make([]filter, len(args))
		for i, arg := range args {
			var err error
			if parts[i], err = c.compile(arg, want); err != nil {
				return nil, err
			}
		}
		if (name == operators.LogicalAnd) == want {
			return all(parts), nil
		}
		return anyOf(parts), nil
	case operators.LogicalNot:
		return c.compile(args[0], !want)
	case operators.Conditional:
		return c.choice(args[0], args[1], args[2], want, want)
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		if !want {
			name = opposites[name]
		}
		return c.comparison(e, name, args[0], args[1])
	case operators.In:
		return c.membership(e, args[0], args[1], want)
	case "startsWith":
		return c.prefix(e, call.Target(), args[0], want)
	}
	return nil, c.unsupported(e, "a read rule can't call %s on an entity's members, because it can't be turned into a query", plainName(call.FunctionName()))
}

// choice is a filter that depends on a condition.
func (c *compiler) choice(condition, then, otherwise ast.Expr, wantThen, wantOtherwise bool) (filter, error) {
	var parts []filter
	for _, branch := range []struct {
		value     ast.Expr
		holds     bool
		wantValue bool
	}{{then, true, wantThen}, {otherwise, false, wantOtherwise}} {
		when, err := c.compile(condition, branch.holds)
		if err != nil {
			return nil, err
		}
		value, err := c.compile(branch.value, branch.wantValue)
		if err != nil {
			return nil, err
		}
		parts = append(parts, all{when, value})
	}
	return anyOf(parts), nil
}

// ops are the operators of the query for those of CEL, and flipped the ones with the operands
// exchanged.
var (
	ops = map[string]query.Op{operators.Equals: query.Equal, operators.NotEquals: query.NotEqual, operators.Less: query.Less,
		operators.LessEquals: query.LessOrEqual, operators.Greater: query.Greater, operators.GreaterEquals: query.GreaterOrEqual}
	flipped = map[query.Op]query.Op{query.Equal: query.Equal, query.NotEqual: query.NotEqual, query.Less: query.Greater,
		query.LessOrEqual: query.GreaterOrEqual, query.Greater: query.Less, query.GreaterOrEqual: query.LessOrEqual}
)

func (c *compiler) comparison(e ast.Expr, name string, left, right ast.Expr) (filter, error) {
	op := ops[name]
	equality := op == query.Equal || op == query.NotEqual
	if equality && c.isBool(left) && c.isBool(right) {
		// Equal truth values: both are true or both are false.
		return c.choice(left, right, right, op == query.Equal, op != query.Equal)
	}
	if !refersToEntity(left) {
		left, right, op = right, left, flipped[op]
	}
	column, err := c.column(left)
	if err != nil {
		return nil, err
	}
	if column.Kind() == query.Boolean && !equality {
		return nil, c.unsupported(e, "a read rule can compare a boolean only with == and !=")
	}
	if !refersToEntity(right) {
		slot, err := c.slot(right)
		return match{column, op, slot}, err
	}
	other, err := c.column(right)
	if err != nil {
		return nil, err
	}
	if column == query.IDColumn() || other == query.IDColumn() {
		return nil, c.unsupported(e, "a read rule can't compare id with another member")
	}
	return fixed{query.Comparison{Left: column, Right: other, Op: op}}, nil
}

func (c *compiler) isBool(e ast.Expr) bool { return c.ast.GetType(e.ID()).IsExactType(types.BoolType) }

func (c *compiler) membership(e, item, within ast.Expr, want bool) (filter, error) {
	if !refersToEntity(within) {
		column, err := c.column(item)
		if err != nil {
			return nil, err
		}
		if column.Kind() == query.Boolean {
			return nil, c.unsupported(e, "a read rule can compare a boolean only with == and !=")
		}
		slot, err := c.slot(within)
		return among{column, slot, !want}, err
	}
	name, ok := c.memberName(within)
	if !ok || c.kinds[name] != texts || refersToEntity(item) {
		return nil, c.unsupported(e, "a read rule can look for a value of the caller in a member that is an array of strings, and for a member in a list of the caller")
	}
	slot, err := c.slot(item)
	return holds{name, slot, !want}, err
}

func (c *compiler) prefix(e, of, prefix ast.Expr, want bool) (filter, error) {
	if refersToEntity(prefix) {
		return nil, c.unsupported(e, "a read rule can't look for a prefix that is an entity's member")
	}
	column, err := c.column(of)
	if err != nil {
		return nil, err
	}
	slot, err := c.slot(prefix)
	return prefixed{column, slot, !want}, err
}

func (c *compiler) presence(e ast.Expr, want bool) (filter, error) {
	s := e.AsSelect()
	if s.Operand().Kind() != ast.IdentKind || !validName.MatchString(s.FieldName()) {
		return nil, c.unsupported(e, "a read rule can only use members at the top of an entity")
	}
	if column, ok := c.columns[s.FieldName()]; ok && column.ServerColumn() {
		return constant(want), nil
	}
	return fixed{query.Has{Member: s.FieldName(), Not: !want}}, nil
}

// validName matches the names of members that a condition can contain.
var validName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

// memberName returns the name of the member that an expression selects.
func (c *compiler) memberName(e ast.Expr) (string, bool) {
	if e.Kind() != ast.SelectKind || e.AsSelect().IsTestOnly() || e.AsSelect().Operand().Kind() != ast.IdentKind {
		return "", false
	}
	name := e.AsSelect().FieldName()
	return name, validName.MatchString(name)
}

// column returns the column of the member that an expression selects.
func (c *compiler) column(e ast.Expr) (query.Column, error) {
	name, ok := c.memberName(e)
	if !ok {
		return query.Column{}, c.unsupported(e, "a read rule can only use members at the top of an entity, and compare them with values of the caller, literals, or each other")
	}
	column, ok := c.columns[name]
	switch {
	case !ok:
		return column, c.unsupported(e, "a read rule can't use the value of %s, because it is not declared as a string, an integer or a boolean", name)
	case column.Kind() == query.Number:
		return column, c.unsupported(e, "a read rule can't use the value of %s: numbers that are not integers are not compared exactly. It can compare it with null", name)
	}
	return column, nil
}

// slot returns the number of the program for an expression that depends on the caller alone.
func (c *compiler) slot(e ast.Expr) (int, error) {
	if n, ok := c.known[e.ID()]; ok {
		return n, nil
	}
	part := ast.NewCheckedAST(ast.NewAST(e, c.ast.SourceInfo()), c.ast.TypeMap(), c.ast.ReferenceMap())
	program, err := plan(c.env, part)
	if err != nil {
		return 0, c.unsupported(e, "%v", err)
	}
	if c.known == nil {
		c.known = map[int64]int{}
	}
	c.slots = append(c.slots, slot{directly(e), program})
	c.known[e.ID()] = len(c.slots) - 1
	return len(c.slots) - 1, nil
}

// unsupported returns the error of a part that can't be turned into a condition.
func (c *compiler) unsupported(e ast.Expr, format string, args ...any) error {
	at := c.ast.SourceInfo().GetStartLocation(e.ID())
	return c.mistake(c.member, at.Line(), at.Column(), format, args...)
}

// plainName returns the name of a function as it is written.
func plainName(function string) string {
	if symbol, ok := operators.FindReverse(function); ok && symbol != "" {
		return symbol
	}
	return function
}
