package access

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// replaceNullTests replaces comparisons of a member with the literal null by has(), and those of
// auth by has(auth.sub). So null is never a value, and the members need no type that includes it.
func replaceNullTests(expression ast.Expr) {
	make := ast.NewExprFactory()
	ast.PostOrderVisit(expression, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		name, args := call.FunctionName(), call.Args()
		if name != operators.Equals && name != operators.NotEquals || len(args) != 2 {
			return
		}
		tested, null := args[0], args[1]
		if isNull(tested) {
			tested, null = null, tested
		}
		if !isNull(null) {
			return
		}
		var there ast.Expr
		switch {
		case tested.Kind() == ast.SelectKind && !tested.AsSelect().IsTestOnly():
			there = make.NewPresenceTest(tested.ID(), tested.AsSelect().Operand(), tested.AsSelect().FieldName())
		case tested.Kind() == ast.IdentKind && tested.AsIdent() == authName:
			there = make.NewPresenceTest(null.ID(), tested, "sub")
		default:
			return
		}
		if name == operators.Equals {
			there = make.NewCall(e.ID(), operators.LogicalNot, there)
		}
		e.SetKindCase(there)
	}))
}

func isNull(e ast.Expr) bool { return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue }
