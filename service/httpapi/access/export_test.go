package access

import "github.com/clusterlite/clusterlite/service/httpapi/caller"

// Evaluates is MayRead by CEL's own evaluation of the rule for Read.
func (p *Policy) Evaluates(who caller.Caller, entity []byte) bool {
	if p.Bypasses(who) {
		return true
	}
	return p.rules[Read] != nil && p.rules[Read].allows(who, entity, nil)
}
