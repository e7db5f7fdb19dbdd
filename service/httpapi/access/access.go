// Package access decides who may read and change the entities of a collection. The keyword
// x-access in a collection's file holds one expression for each kind of access, in the Common
// Expression Language (CEL), over the caller and the entity before and after a change.
//
// [Compile] checks the expressions when a process starts. [Policy] then answers two kinds of
// questions: whether a caller may access one entity, which evaluates the expression, and what a
// caller may read of a whole collection, which returns a condition for the query. Both agree for
// every entity and caller.
//
// An expression that fails for an entity, for example because the entity lacks a member, gives no
// access. Only the literal null can be compared with a missing member: the value null exists
// neither in an entity nor in a claim. That is also how SQL treats NULL, so the condition follows
// from the expression.
package access

import (
	"errors"
	"fmt"
	"slices"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// An Action is a kind of access to an entity.
type Action int

// The actions.
const (
	Read Action = iota
	Create
	Update
	Delete
)

var actions = []Action{Read, Create, Update, Delete}

// String returns the member of x-access that holds the rule for the action.
func (a Action) String() string { return [...]string{"read", "create", "update", "delete"}[a] }

// A RuleError says what is wrong with an expression in a collection's file.
type RuleError struct {
	// Collection is the name of the collection, and Member what holds the expression: x-access/read
	// or the pointer of a property.
	Collection, Member string
	// Line and Column are the position in the expression, both starting at 1.
	Line, Column int
	// Reason says what is wrong there.
	Reason string
}

// Error returns the place and the reason.
func (e *RuleError) Error() string {
	return fmt.Sprintf("collection %s: /%s: line %d, column %d of the expression: %s", e.Collection, e.Member, e.Line, e.Column, e.Reason)
}

// Policies are the policies of all collections. Nil means that clients need no authentication, so
// that no rule applies. Immutable, and safe for concurrent use.
type Policies struct {
	byName map[string]*Policy
	// anonymous are the collections with which a caller without credentials may do anything.
	anonymous map[string]bool
}

// Compile compiles the rules of all collections. The error joins a [RuleError] for each
// expression with a mistake.
func Compile(set *collections.Set) (*Policies, error) {
	all := &Policies{map[string]*Policy{}, map[string]bool{}}
	var errs []error
	for _, c := range set.All() {
		p, err := compilePolicy(c)
		errs = append(errs, err)
		all.byName[c.Name()] = p
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for name, p := range all.byName {
		if slices.ContainsFunc(actions, func(a Action) bool { return !p.Excludes(a, caller.Anonymous) }) {
			all.anonymous[name] = true
		}
	}
	return all, nil
}

// Of returns the policy of a collection. It may be nil, and can be used then.
func (p *Policies) Of(collection string) *Policy {
	if p == nil {
		return nil
	}
	if policy := p.byName[collection]; policy != nil {
		return policy
	}
	return &Policy{} // of an unknown collection, of which there is nothing to show
}

// Unindexed returns, by collection, the members by which the rule for reading selects entities of a
// caller, if none of them has an index. Lists then look at all entities of the collection.
func (p *Policies) Unindexed() map[string][]string {
	all := map[string][]string{}
	for name, policy := range p.byName {
		if r := policy.rules[Read]; r != nil {
			if members := unindexed(r.filter); len(members) > 0 {
				all[name] = members
			}
		}
	}
	return all
}

// AdmitAnonymous reports whether a caller without credentials may do anything at all with a
// collection.
func (p *Policies) AdmitAnonymous(collection string) bool {
	return p == nil || p.anonymous[collection]
}

// AdmitAnonymousSomewhere reports whether that holds for any collection.
func (p *Policies) AdmitAnonymousSomewhere() bool { return p == nil || len(p.anonymous) > 0 }

// Denied returns the problem of a caller who may not do what the request asks for. Without
// credentials it is a 401, because credentials could help.
func Denied(who caller.Caller) *problem.Problem {
	if who.IsAnonymous() {
		return problem.Unauthorized.New("This needs credentials in the header field Authorization.").Set("WWW-Authenticate", `Bearer realm="clusterlite"`)
	}
	return problem.Forbidden.New("The access rules of the collection do not allow this. Nothing was done.")
}

// IsDenied reports whether an error is, or wraps, the result of [Denied].
func IsDenied(err error) bool {
	var p *problem.Problem
	return errors.As(err, &p) && (p.Of(problem.Unauthorized) || p.Of(problem.Forbidden))
}
