package access

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/common/types"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// A CallerRule decides by the caller alone. Nil admits only the role admin. Immutable, and safe for
// concurrent use.
type CallerRule struct{ rule *rule }

// CompileCaller compiles an expression over auth. The error says where the mistake is.
func CompileCaller(expression string) (*CallerRule, error) {
	e := &environment{kinds: map[string]kind{}}
	if err := e.prepare(); err != nil {
		return nil, err
	}
	env, checked, err := e.compile("access", expression, []*types.Type{types.BoolType})
	if err != nil {
		var mistake *RuleError
		if errors.As(err, &mistake) {
			return nil, fmt.Errorf("access: column %d of the expression: %s", mistake.Column, mistake.Reason)
		}
		return nil, err
	}
	program, err := plan(env, checked.NativeRep())
	if err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	return &CallerRule{&rule{program: program, callerOnly: true}}, nil
}

// Admits reports whether the rule admits a caller.
func (r *CallerRule) Admits(who caller.Caller) bool {
	return who.Has(caller.RoleAdmin) || r != nil && r.rule.allows(who, nil, nil)
}
