// Package history records the operations of concurrent clients and their outcomes, and
// checks whether a correct store could have produced them.
package history

import (
	"fmt"
	"time"
)

// A Kind is what a client asks for.
type Kind int

// The kinds.
const (
	Create Kind = iota
	Replace
	Patch
	Delete
	// Read reads one entity by its id.
	Read
	// Find looks for the entity that holds an e-mail address.
	Find
)

// String is the kind's name.
func (k Kind) String() string {
	return [...]string{"create", "replace", "patch", "delete", "read", "find"}[k]
}

// An Outcome is what the answer says about an operation.
type Outcome int

// The outcomes.
const (
	// Unknown: the client does not know the outcome. The operation may take effect at any
	// later time, or never.
	Unknown Outcome = iota
	// Done: it was done, or read.
	Done
	// Missing: the entity does not exist.
	Missing
	// Taken: another entity holds the e-mail address.
	Taken
	// Mismatch: the entity has another version than was demanded.
	Mismatch
)

// String is the outcome's name.
func (o Outcome) String() string {
	return [...]string{"unknown", "done", "missing", "taken", "mismatch"}[o]
}

// An Entity is an entity as clients see it. The zero Entity means none.
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
	// ID is the entity's; empty for Create and Find.
	ID string
	// Email and Name are the values that are written; a Patch does not change an empty one.
	// For Find, Email is the value to search for.
	Email, Name string
	// Match is the version in If-Match; zero if the request has none.
	Match int64
	// Keyed reports whether a write had an idempotency key.
	Keyed bool
	// Start is when the first request was sent, End when the last answer arrived; both are
	// on one monotonic clock.
	Start, End time.Duration

	Outcome Outcome
	// Entity is what the answer showed; for Mismatch only its version.
	Entity Entity
	// Position is the position in the answer: that of the event of a write, or that of the
	// state that a read, or a write without an event, saw. Zero means unknown.
	Position int64
	// Fresh reports whether the answer had to reflect everything that was acknowledged
	// before Start. A read or an error that is not fresh is checked against its position
	// only.
	Fresh bool
	// Node is the process that answered, if known. A process that was restarted without its
	// data is a different one.
	Node string
}

// write reports whether the operation changes anything when it is done.
func (o Operation) write() bool { return o.Kind != Read && o.Kind != Find }

// leavesEvent reports whether the completed operation has certainly appended an event: a
// write without a key that changes nothing appends none.
func (o Operation) leavesEvent() bool {
	return o.write() && (o.Kind != Patch || o.Name != "" || o.Keyed)
}

// String is the operation in a line.
func (o Operation) String() string {
	s := fmt.Sprintf("%9.3fs–", o.Start.Seconds())
	if o.Outcome != Unknown {
		s += fmt.Sprintf("%.3fs", o.End.Seconds())
	}
	s += fmt.Sprintf(" client %d %s %s", o.Client, o.Kind, short(o.ID))
	if o.Email != "" {
		s += " email=" + o.Email
	}
	if o.Name != "" {
		s += " name=" + o.Name
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

// short is the end of a UUID: the random part.
func short(id string) string { return id[max(0, len(id)-6):] }
