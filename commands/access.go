package commands

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// An Asker is who sends a command, and the rules that apply to it. The zero Asker may do
// everything.
type Asker struct {
	Caller caller.Caller
	Policy *access.Policy
}

// rules are the kinds of access that commands need.
var rules = map[Action]access.Action{Create: access.Create, Replace: access.Update, Patch: access.Update, Delete: access.Delete, Restore: access.Update}

// admit returns a problem if no entity could make the command allowed. To change an entity, the
// caller must also be able to read it.
func (a Asker) admit(action Action) error {
	if a.Policy.Excludes(rules[action], a.Caller) || action != Create && a.Policy.Excludes(access.Read, a.Caller) {
		return access.Denied(a.Caller)
	}
	return nil
}

// permit returns a rejection if the rules do not allow the change that an event makes. The event
// is admitted only on the version that before has, so no other write can get between this
// decision and the change. To bring a deleted entity back, the caller needs the right to create it,
// too; before.Rendered is then the entity as it was.
func (a Asker) permit(action Action, before events.Entity, event events.Event) *Rejection {
	if before.Deleted && !a.Policy.Allows(access.Create, a.Caller, nil, before.Next(event).Rendered) {
		return a.forbid()
	}
	if !a.Policy.Inspects(rules[action], a.Caller) {
		return nil // admit has decided
	}
	if a.Policy.Allows(rules[action], a.Caller, before.Rendered, before.Next(event).Rendered) {
		return nil
	}
	return a.forbid()
}

func (a Asker) forbid() *Rejection {
	return &Rejection{Kind: Forbidden, Caller: a.Caller, Detail: "the access rules of the collection do not allow this"}
}

// permitReplay returns a rejection if the caller may not get the result of an earlier request of
// its own: the rules or its roles may have changed since.
func (a Asker) permitReplay(use reads.KeyUse) *Rejection {
	switch use.Kind {
	case events.Created:
		if !a.Policy.Allows(access.Create, a.Caller, nil, use.Rendered) {
			return a.forbid()
		}
	case events.Updated, events.Restored:
		if !a.Policy.MayRead(a.Caller, use.Rendered) {
			return &Rejection{Kind: NotFound, Detail: "the caller may not read the entity"}
		}
	}
	return nil
}

// setDefaults sets the members of a new document that follow from the caller. What the client
// sent for them is dropped, like the members that the server sets in every entity, unless no rule
// applies to the caller. The error is a problem.
func (a Asker) setDefaults(d document.Document) (document.Document, error) {
	values := a.Policy.Defaults(a.Caller)
	if a.Policy.Bypasses(a.Caller) {
		maps.DeleteFunc(values, func(name string, _ any) bool { _, sent := d.Value()[name]; return sent })
	}
	if len(values) == 0 {
		return d, nil
	}
	set, err := overlay(d, values)
	if err != nil {
		return d, problem.InvalidDocument.Because(err, "With the values that the server sets, the document would be "+err.Error()+".")
	}
	return set, nil
}

// kept returns the members that a Replace or Restore with this document does not change.
func (a Asker) kept(d document.Document) []string {
	names := a.Policy.ServerSet()
	if a.Policy.Bypasses(a.Caller) {
		return slices.DeleteFunc(names, func(name string) bool { _, sent := d.Value()[name]; return sent })
	}
	return names
}

// keep returns a document with the values of another one for the named members.
func keep(names []string, old, next document.Document) (document.Document, *Rejection) {
	if len(names) == 0 {
		return next, nil
	}
	values := make(map[string]any, len(names))
	for _, name := range names {
		values[name] = old.Value()[name]
	}
	kept, err := overlay(next, values)
	if err != nil {
		return next, &Rejection{Kind: Invalid, Detail: "with the members that only the server sets, the document would be " + err.Error()}
	}
	return kept, nil
}

// overlay sets members of a document, and removes those whose value is nil.
func overlay(d document.Document, values map[string]any) (document.Document, error) {
	patch, err := json.Marshal(values)
	if err != nil {
		return d, errors.New("invalid")
	}
	return document.Merge(d, patch)
}
