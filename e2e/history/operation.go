// Package history records the operations of concurrent clients and their outcomes, and
// checks whether a correct store could have produced them.
package history

import (
	"fmt"
	"time"
)

// A Kind is the kind of an operation.
type Kind int

// These are the kinds of operations.
const (
	Create Kind = iota
	Replace
	Patch
	Delete
	// Read reads one entity by its id.
	Read
	// Find looks for the entity that holds an e-mail address.
	Find
	// Restore makes an earlier version of an entity the current one, also if it was deleted.
	Restore
)

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"create", "replace", "patch", "delete", "read", "find", "restore"}[k]
}

// An Outcome is the result of an operation according to its answer.
type Outcome int

// These are the outcomes.
const (
	// Unknown: the client does not know the outcome. The operation may take effect at any
	// later time, or never.
	Unknown Outcome = iota
	// Done: the operation was carried out.
	Done
	// Missing: the entity does not exist.
	Missing
	// Taken: another entity holds the e-mail address.
	Taken
	// Mismatch: the entity's version differs from the one that the operation demands.
	Mismatch
)

// String returns the outcome's name.
func (o Outcome) String() string {
	return [...]string{"unknown", "done", "missing", "taken", "mismatch"}[o]
}

// An Entity is an entity as clients see it. The zero Entity means that there is none.
type Entity struct {
	ID          string
	Version     int64
	Email, Name string
}

// An Operation is one request and its answer, or all requests that a client sent with one
// idempotency key until it got an answer. Requests that were not carried out, and reads
// without an answer, carry no information and do not belong in a history.
type Operation struct {
	Client int
	// Group identifies the entities that may conflict with this one: those that share a
	// pool of e-mail addresses. No operation touches two groups, so each group can be
	// checked separately.
	Group string
	Kind  Kind
	// ID is the entity's id. It is empty for Create and Find.
	ID string
	// Model reports whether a Read or Find reads the table of a read model in SQL.
	Model bool
	// Email and Name are the values to write. A Patch does not change a member whose value is
	// empty. For Find, Email is the value to search for.
	Email, Name string
	// Match is the version in If-Match. Zero means that the request has none.
	Match int64
	// Of is the version that a Restore restores.
	Of int64
	// Keyed reports whether a write had an idempotency key.
	Keyed bool
	// Start is when the first request was sent, and End when the last answer arrived. Both are
	// times of one monotonic clock.
	Start, End time.Duration

	Outcome Outcome
	// Entity is the entity in the answer. For Mismatch, only its version is set.
	Entity Entity
	// Position is the position in the answer. For a write with an event, it is the event's
	// position. Otherwise it is the position of the state that the operation saw. Zero means
	// unknown.
	Position int64
	// Fresh reports whether the answer had to reflect everything that was acknowledged before
	// Start. A read or an error that is not fresh is checked against its position only.
	Fresh bool
	// Node is the process that answered, if known. A process that was restarted without its
	// data counts as a different one.
	Node string
}

// write reports whether the operation changes anything when it is done.
func (o Operation) write() bool { return o.Kind != Read && o.Kind != Find }

// leavesEvent reports whether the completed operation has certainly appended an event. A write
// without a key that changes nothing appends none.
func (o Operation) leavesEvent() bool {
	switch o.Kind {
	case Patch:
		return o.Name != "" || o.Keyed
	case Restore:
		return o.Keyed
	}
	return o.write()
}

// String describes the operation in one line.
func (o Operation) String() string {
	s := fmt.Sprintf("%9.3fs–", o.Start.Seconds())
	if o.Outcome != Unknown {
		s += fmt.Sprintf("%.3fs", o.End.Seconds())
	}
	s += fmt.Sprintf(" client %d %s %s", o.Client, o.Kind, short(o.ID))
	if o.Model {
		s += " in the model"
	}
	if o.Email != "" {
		s += " email=" + o.Email
	}
	if o.Name != "" {
		s += " name=" + o.Name
	}
	if o.Of != 0 {
		s += fmt.Sprintf(" version=%d", o.Of)
	}
	if o.Match != 0 {
		s += fmt.Sprintf(" if-match=%d", o.Match)
	}
	s += " → " + o.Outcome.String()
	if o.Entity != (Entity{}) {
		s += fmt.Sprintf(" {%s v%d %s %s}", short(o.Entity.ID), o.Entity.Version, o.Entity.Email, o.Entity.Name)
	}
	if o.Position != 0 {
		s += fmt.Sprintf(" at %d", o.Position)
	}
	if o.Node != "" {
		s += " by " + o.Node
	}
	if !o.Fresh {
		s += " (not fresh)"
	}
	return s
}

// short returns the random part at the end of a UUID.
func short(id string) string { return id[max(0, len(id)-6):] }
