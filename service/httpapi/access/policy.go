package access

import (
	"errors"
	"slices"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// A Policy holds the rules of one collection. A nil Policy has no rules and allows everything,
// because clients need no authentication. Immutable, and safe for concurrent use.
type Policy struct {
	// declared reports whether the collection's file has rules. Without them, every caller with
	// credentials may do everything.
	declared bool
	rules    [4]*rule // by action; nil if only administrators may
	defaults []memberDefault
}

func compilePolicy(c *collections.Collection) (*Policy, error) {
	declared, has := c.Access()
	p := &Policy{declared: has}
	defaults := slices.ContainsFunc(c.Properties(), func(p collections.Property) bool { return p.Default != "" })
	expressions := declared.Expressions()
	if len(expressions) == 0 && !defaults {
		return p, nil // most collections need no environment, which takes milliseconds to make
	}
	env, err := newEnvironment(c)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range actions {
		if text, has := expressions[a.String()]; has {
			p.rules[a], err = env.compileRule(a, text)
			errs = append(errs, err)
		}
	}
	for _, property := range c.Properties() {
		if property.Default != "" {
			d, err := env.compileDefault(property)
			p.defaults, errs = append(p.defaults, d), append(errs, err)
		}
	}
	return p, errors.Join(errs...)
}

// Bypasses reports whether no rule applies to a caller: there is no authentication, or the caller
// has the role admin.
func (p *Policy) Bypasses(who caller.Caller) bool { return p == nil || who.Has(caller.RoleAdmin) }

// Allows reports whether a caller may perform an action. before is the entity before it, for
// Read, Update and Delete; after is the entity after it, for Create and Update. Both are entities
// as clients see them, with the members of the server. An older version of an entity is one too.
func (p *Policy) Allows(a Action, who caller.Caller, before, after []byte) bool {
	switch {
	case p.Bypasses(who):
		return true
	case !p.declared:
		return !who.IsAnonymous()
	}
	r := p.rules[a]
	switch {
	case r == nil:
		return false
	case a == Read || r.callerOnly:
		return r.meets(who, entity{rendered: before, names: r.names})
	}
	return r.allows(who, before, after)
}

// Inspects reports whether [Policy.Allows] looks at entities: otherwise [Policy.Excludes] alone
// decides.
func (p *Policy) Inspects(a Action, who caller.Caller) bool {
	return !p.Bypasses(who) && p.declared && p.rules[a] != nil && !p.rules[a].callerOnly
}

// MayRead reports whether a caller may read an entity, given as clients see it.
func (p *Policy) MayRead(who caller.Caller, entity []byte) bool {
	return p.Allows(Read, who, entity, nil)
}

// A Reader answers for one request what its caller may read. It evaluates a rule that depends on
// the caller alone once.
type Reader struct {
	policy *Policy
	who    caller.Caller
	known  answer // for all entities
}

type answer int

const (
	depends answer = iota // on the entity
	always
	never
)

// Reader returns the reader of a request.
func (p *Policy) Reader(who caller.Caller) Reader {
	r := Reader{policy: p, who: who}
	if p.Inspects(Read, who) {
		return r
	}
	r.known = never
	if p.Allows(Read, who, nil, nil) {
		r.known = always
	}
	return r
}

// Decided reports what the caller may read, if that is the same for all entities.
func (r Reader) Decided() (allowed, decided bool) { return r.known == always, r.known != depends }

// Allows reports whether the caller may read an entity, given as clients see it.
func (r Reader) Allows(entity []byte) bool {
	return r.known == always || r.known == depends && r.policy.MayRead(r.who, entity)
}

// AllowsVersion is Allows for an entity that is not rendered.
func (r Reader) AllowsVersion(v *Version) bool {
	if r.known != depends {
		return r.known == always
	}
	rule := r.policy.rules[Read]
	return rule.meets(r.who, entity{version: v, rendered: v.Document, names: rule.names})
}

// Barred reports whether it is certain that the caller may read no entity.
func (r Reader) Barred() bool {
	return r.known == never || r.known == depends && r.policy.Excludes(Read, r.who)
}

// Excludes reports whether it is certain that a caller may not perform an action on any entity.
func (p *Policy) Excludes(a Action, who caller.Caller) bool {
	switch {
	case p.Bypasses(who):
		return false
	case !p.declared:
		return who.IsAnonymous()
	case p.rules[a] == nil:
		return true
	}
	return isNothing(p.rules[a].scope(who))
}

// Reading returns what a caller may read of the collection.
func (p *Policy) Reading(who caller.Caller) Scope {
	switch {
	case p.Bypasses(who), !p.declared && !who.IsAnonymous():
		return Scope{}
	case !p.declared, p.rules[Read] == nil:
		return Scope{nothing}
	}
	return Scope{p.rules[Read].scope(who)}
}

// A Scope is the part of a collection that a caller may read. The zero Scope is all of it.
type Scope struct{ condition query.Condition }

// Everything reports whether the caller may read every entity.
func (s Scope) Everything() bool { return s.condition == nil }

// Nothing reports whether the caller may read no entity, whatever it holds.
func (s Scope) Nothing() bool { return isNothing(s.condition) }

func isNothing(c query.Condition) bool {
	parts, is := c.(query.AnyOf)
	return is && len(parts) == 0
}

// Condition is met by the entities that the caller may read. It is nil if these are all.
func (s Scope) Condition() query.Condition { return s.condition }

// AppendKey appends a text that identifies the scope among those of all callers: callers with equal
// keys may read the same entities. It appends nothing if the caller may read everything.
func (s Scope) AppendKey(to []byte) []byte {
	if s.condition == nil {
		return to
	}
	return appendKey(to, s.condition)
}

// Defaults returns the members that the server sets when the caller creates an entity, as JSON
// values by name. Those without a value for the caller are nil: the entity lacks them. The result
// is nil if there are none, and without authentication.
func (p *Policy) Defaults(who caller.Caller) map[string]any {
	if p == nil || len(p.defaults) == 0 {
		return nil
	}
	values := make(map[string]any, len(p.defaults))
	for _, d := range p.defaults {
		values[d.name] = d.value(who)
	}
	return values
}

// ServerSet returns the names of the members that only the server sets. Callers to whom no rule
// applies can set them too, and get the values of the server only for members that they leave out.
func (p *Policy) ServerSet() []string {
	if p == nil {
		return nil
	}
	names := make([]string, len(p.defaults))
	for i, d := range p.defaults {
		names[i] = d.name
	}
	return names
}
