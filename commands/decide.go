package commands

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
)

// State is what a decision reads.
type State struct {
	// Version is that of the living entity; zero if there is none.
	Version int64
	// CreatedAt is in events.TimeFormat.
	CreatedAt string
	// Document is the living entity's document; needed for a Patch, and for [Changes].
	Document document.Document
}

// A Stamp is what a decision must not make up itself.
type Stamp struct {
	// EventID is a new UUIDv7.
	EventID string
	Now     time.Time
	// Source goes into the event.
	Source string
}

// A RejectionKind says why a command is rejected.
type RejectionKind int

// The kinds of rejections.
const (
	// NotFound: there is no such living entity.
	NotFound RejectionKind = iota
	// VersionMismatch: the client's precondition does not hold.
	VersionMismatch
	// Taken: another living entity holds a unique value.
	Taken
	// Invalid: the document would break its schema.
	Invalid
	// TooLarge: the patched document would be larger than a document may be.
	TooLarge
	// KeyReused: the idempotency key came with another request.
	KeyReused
	// Unchanged: the entity is already as the command wants it. The client is told that it
	// is, not that anything is wrong.
	Unchanged
)

// A Rejection is a command's no. On another state the answer may be another, so it is
// only given on a state that is known to be fresh.
type Rejection struct {
	Kind RejectionKind
	// Version is the one that there is, and Match what the client demands, for
	// VersionMismatch.
	Version int64
	Match   Precondition
	// Field is the unique field whose value is taken, and Holder the entity that has it.
	Field, Holder string
	// Violations say what is wrong with the document.
	Violations []collections.Violation
	// Detail explains it to a person.
	Detail string
}

// Error says what the rejection is.
func (r *Rejection) Error() string { return r.Detail }

// Decide makes the event that a command asks for, or refuses. It is pure. Whether a
// unique value is taken is not its business: the claims travel in the event, and
// holders are looked up by the caller, or by the log.
func Decide(c Command, s State, stamp Stamp) (events.Event, *Rejection) {
	e := events.Event{
		ID: stamp.EventID, Source: stamp.Source,
		Collection: c.Collection.Name(), EntityID: c.ID, Time: stamp.Now.UTC().Truncate(time.Millisecond),
		Version: s.Version + 1, IdempotencyKey: c.IdempotencyKey, RequestHash: c.RequestHash,
	}
	if c.Action != Create {
		if rejection := reject(c, s); rejection != nil {
			return events.Event{}, rejection
		}
	}
	next := c.Document
	switch c.Action {
	case Create:
		e.Kind = events.Created
	case Delete:
		e.Kind = events.Deleted
		return e, nil
	case Patch:
		e.Kind = events.Updated
		var rejection *Rejection
		if next, rejection = patched(c, s); rejection != nil {
			return events.Event{}, rejection
		}
	case Replace:
		e.Kind = events.Updated
	}
	e.Document = next.Bytes()
	e.Claims = c.Collection.Claims(next.Value())
	return e, nil
}

// Changes tells whether an event that was decided changes the entity. A document with
// its members in another order, or a number in another spelling, is another document.
// A command with an idempotency key always changes: its event is what keeps the key, so
// that a retry after someone else's change does not become a change itself.
func Changes(c Command, s State, e events.Event) bool {
	return e.Kind != events.Updated || c.IdempotencyKey != "" || !bytes.Equal(e.Document, s.Document.Bytes())
}

// refuse decides what needs no document.
func reject(c Command, s State) *Rejection {
	// RFC 9110, 13.1.1: a failed If-Match is 412 also where nothing is there. A client
	// that names a version knows of the entity; 404 tells it more.
	if s.Version == 0 {
		return &Rejection{Kind: NotFound, Detail: fmt.Sprintf("%s/%s does not exist", c.Collection.Name(), c.ID)}
	}
	if !c.Match.Holds(s.Version) {
		return &Rejection{Kind: VersionMismatch, Version: s.Version, Match: c.Match, Detail: fmt.Sprintf("the entity has version %d, which does not match If-Match", s.Version)}
	}
	return nil
}

func patched(c Command, s State) (document.Document, *Rejection) {
	next, err := document.Merge(s.Document, c.Patch)
	var number *document.NumberError
	if errors.As(err, &number) {
		return next, &Rejection{Kind: Invalid, Violations: outOfBounds(number), Detail: "after the patch the document would contain a number that is too large or too long"}
	}
	if err != nil {
		return next, &Rejection{Kind: Invalid, Detail: "after the patch the document would be invalid: it is " + err.Error()}
	}
	if c.MaxDocument > 0 && len(next.Bytes()) > c.MaxDocument {
		return next, &Rejection{Kind: TooLarge, Detail: fmt.Sprintf("after the patch the document would have %d bytes; the maximum is %d", len(next.Bytes()), c.MaxDocument)}
	}
	if violations := c.Collection.Validate(next.Value()); len(violations) > 0 {
		return next, &Rejection{Kind: Invalid, Violations: violations, Detail: "after the patch the document would violate the schema of its collection"}
	}
	return next, nil
}
