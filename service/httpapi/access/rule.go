package access

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// A rule is one compiled expression of x-access.
type rule struct {
	program cel.Program
	// callerOnly reports that the rule depends on no entity.
	callerOnly bool
	// names are the members of entities that the expression refers to.
	names []string
	// filter is the rule as a condition, and slots are the parts of it that depend on the caller
	// alone. For rules other than those for Read, it only shows whether the caller decides. A rule
	// that depends on no entity is its only slot.
	filter filter
	slots  []slot
}

// variables are the entities that each rule can refer to.
var variables = map[Action][]string{Read: {oldName}, Create: {newName}, Update: {oldName, newName}, Delete: {oldName}}

// hints explain why a variable is unknown in a rule.
var hints = map[Action]string{
	Read:   "a read has no new: write old for the entity that is read",
	Create: "a create has no old: write new for the entity that is created",
	Delete: "a delete has no new: write old for the entity that is deleted",
}

func (e *environment) compileRule(a Action, expression string) (*rule, error) {
	member := "x-access/" + a.String()
	env, checked, err := e.compile(member, expression, []*types.Type{types.BoolType}, variables[a]...)
	if err != nil {
		return nil, hinted(err, a)
	}
	root := checked.NativeRep().Expr()
	r := &rule{callerOnly: !refersToEntity(root), names: membersIn(root)}
	if r.program, err = plan(env, checked.NativeRep()); err != nil {
		return nil, e.mistake(member, 1, 0, "%v", err)
	}
	c := &compiler{environment: e, env: env, ast: checked.NativeRep(), member: member, lenient: a != Read}
	if r.filter, err = c.compile(root, true); err != nil {
		return nil, err
	}
	r.slots = c.slots
	return r, nil
}

// hinted adds to an error about a variable that a rule does not have what to write instead.
func hinted(err error, a Action) error {
	var all []error
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // made by this package
	if !ok {
		return err
	}
	for _, one := range joined.Unwrap() {
		var mistake *RuleError
		if errors.As(one, &mistake) && isUnknownVariable(mistake.Reason) && hints[a] != "" {
			mistake.Reason = hints[a]
		}
		all = append(all, one)
	}
	return errors.Join(all...)
}

func isUnknownVariable(reason string) bool {
	for _, name := range []string{oldName, newName} {
		if strings.HasPrefix(reason, "undeclared reference to '"+name+"'") {
			return true
		}
	}
	return false
}

// plan makes the program of an expression. Only loops and regular expressions can take longer
// than the length of an expression suggests, so only they are counted.
func plan(env *cel.Env, a *ast.AST) (cel.Program, error) {
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	costly := false
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		costly = costly || e.Kind() == ast.ComprehensionKind || e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "matches"
	}))
	if costly {
		options = append(options, cel.CostLimit(maxCost))
	}
	return env.PlanProgram(a, options...)
}

// refersToEntity reports whether an expression depends on old or new.
func refersToEntity(expression ast.Expr) (refers bool) {
	ast.PostOrderVisit(expression, ast.NewExprVisitor(func(e ast.Expr) {
		refers = refers || e.Kind() == ast.IdentKind && (e.AsIdent() == oldName || e.AsIdent() == newName)
	}))
	return refers
}

// membersIn returns the names of all members that an expression selects.
func membersIn(expression ast.Expr) []string {
	names := map[string]bool{}
	ast.PostOrderVisit(expression, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.SelectKind {
			names[e.AsSelect().FieldName()] = true
		}
	}))
	return slices.Sorted(maps.Keys(names))
}

// An evaluation holds the variables of one evaluation. It implements [cel.Activation].
type evaluation struct {
	auth     identity
	old, new entity
}

// ResolveName returns the variable with a name.
func (e *evaluation) ResolveName(name string) (any, bool) {
	switch name {
	case authName:
		return &e.auth, true
	case oldName:
		return &e.old, true
	case newName:
		return &e.new, true
	}
	return nil, false
}

// Parent returns nil: there are no further variables.
func (e *evaluation) Parent() cel.Activation { return nil }

// allows evaluates the expression with CEL.
func (r *rule) allows(who caller.Caller, before, after []byte) bool {
	v := &evaluation{auth: identity{who}, old: entity{rendered: before, names: r.names}, new: entity{rendered: after, names: r.names}}
	result := evaluate(r.program, v)
	return result == types.True
}

// evaluate returns the result of a program, or nil if it fails.
func evaluate(p cel.Program, v *evaluation) ref.Val {
	result, _, err := p.Eval(v)
	if err != nil {
		return nil
	}
	return result
}

// scope returns what a caller may read, or nil if that is everything.
func (r *rule) scope(who caller.Caller) query.Condition {
	values := make([]value, len(r.slots))
	for i := range r.slots {
		values[i] = r.slots[i].value(&who)
	}
	c := r.filter.bind(values)
	if parts, is := c.(query.All); is && len(parts) == 0 {
		return nil
	}
	return c
}

// A memberDefault is the expression for a member that the server sets.
type memberDefault struct {
	name    string
	kind    kind
	program cel.Program
}

func (e *environment) compileDefault(p collections.Property) (memberDefault, error) {
	member := "properties/" + p.Name + "/x-default"
	k := e.kinds[p.Name]
	env, checked, err := e.compile(member, p.Default, []*types.Type{celTypes[k], types.DynType})
	if err != nil {
		return memberDefault{}, err
	}
	program, err := plan(env, checked.NativeRep())
	if err != nil {
		return memberDefault{}, e.mistake(member, 1, 0, "%v", err)
	}
	return memberDefault{p.Name, k, program}, nil
}

// value returns the value for a caller as JSON has it, or nil if there is none of the right type.
func (d memberDefault) value(who caller.Caller) any {
	switch v := evaluate(d.program, &evaluation{auth: identity{who}}).(type) {
	case types.String:
		if d.kind == text {
			return string(v)
		}
	case types.Int:
		if d.kind == integer || d.kind == number {
			return int64(v)
		}
	case types.Double:
		if d.kind == number {
			return float64(v)
		}
	case types.Bool:
		if d.kind == boolean {
			return bool(v)
		}
	}
	return nil
}
