package commands

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// State is the state of an entity on which a decision depends.
type State struct {
	// Version is the version of the entity, or zero if the entity does not exist. It is zero for a
	// deleted entity, too, except for a Restore.
	Version int64
	// Deleted reports, for a Restore, that the entity was deleted. Document is then what it was
	// before.
	Deleted bool
	// CreatedAt is in events.TimeFormat.
	CreatedAt string
	// Document is the document of the living entity. Only a Patch, [Changes] and members to keep
	// need it.
	Document document.Document
}

// A Stamp holds values that the caller of a decision generates, so that the decision is pure.
type Stamp struct {
	// EventID is a new UUIDv7.
	EventID string
	Now     time.Time
	// Source names the node in the event.
	Source string
}

// A RejectionKind is the reason for a rejection.
type RejectionKind int

// The reasons for rejections.
const (
	// NotFound: there is no living entity with this id.
	NotFound RejectionKind = iota
	// VersionMismatch: the client's precondition does not hold.
	VersionMismatch
	// Taken: another living entity holds a unique value.
	Taken
	// Invalid: the document would violate its schema.
	Invalid
	// TooLarge: the document would exceed its maximum size after the patch.
	TooLarge
	// KeyReused: the idempotency key was used for a different request.
	KeyReused
	// Unchanged: the entity is already as the command wants it. The client gets a successful
	// response.
	Unchanged
	// Gone: the client's precondition asks for a living entity, but the entity was deleted.
	Gone
	// Forbidden: the access rules of the collection do not allow the command.
	Forbidden
)

// A Rejection is the error of a command that the state does not allow. It depends on the state,
// so a client gets it only if the state is known to be fresh.
type Rejection struct {
	Kind RejectionKind
	// Version is the current version, for VersionMismatch and Gone, and Match the client's
	// precondition, for VersionMismatch.
	Version int64
	Match   Precondition
	// Field is the unique field whose value is taken, and Holder is the entity that holds it.
	Field, Holder string
	// Caller is who is not allowed to do this, for Forbidden.
	Caller caller.Caller
	// Violations are the violations of the schema, for Invalid.
	Violations []collections.Violation
	// Detail explains the rejection to a person.
	Detail string
}

// Error returns the detail.
func (r *Rejection) Error() string { return r.Detail }

// Decide returns the event of a command, or a rejection. It is pure. It does not check whether a
// unique value is taken: the event carries the claims, and the caller or the log checks who holds
// them.
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
	case Replace, Restore:
		if e.Kind = events.Updated; s.Deleted {
			e.Kind = events.Restored
		}
		var rejection *Rejection
		if next, rejection = replaced(c, s); rejection != nil {
			return events.Event{}, rejection
		}
	}
	e.Document = next.Bytes()
	e.Claims = c.Collection.Claims(next.Value())
	return e, nil
}

// Changes reports whether an event changes the entity. A document with its members in another
// order, or with another spelling of a number, is a different document. A command with an
// idempotency key always changes the entity, because its event stores the key. Otherwise a retry
// could change the entity after another client has changed it.
func Changes(c Command, s State, e events.Event) bool {
	return e.Kind != events.Updated || c.IdempotencyKey != "" || !bytes.Equal(e.Document, s.Document.Bytes())
}

// reject checks the conditions that need no document.
func reject(c Command, s State) *Rejection {
	// By RFC 9110, 13.1.1, a failed If-Match is 412 even if the entity does not exist. But a
	// client that names a version knows that the entity existed, so 404 is more informative.
	if s.Version == 0 {
		return &Rejection{Kind: NotFound, Detail: fmt.Sprintf("%s/%s does not exist", c.Collection.Name(), c.ID)}
	}
	if s.Deleted && c.Match.Any {
		return &Rejection{Kind: Gone, Version: s.Version, Detail: fmt.Sprintf("the entity was deleted, with version %d", s.Version)}
	}
	if !c.Match.Holds(s.Version) {
		return &Rejection{Kind: VersionMismatch, Version: s.Version, Match: c.Match, Detail: fmt.Sprintf("the entity has version %d, which does not match If-Match", s.Version)}
	}
	return nil
}

// replaced returns the document of a Replace or Restore. It is valid unless it has members to keep.
func replaced(c Command, s State) (document.Document, *Rejection) {
	if len(c.Kept) == 0 {
		return c.Document, nil
	}
	next, rejection := keep(c.Kept, s.Document, c.Document)
	if rejection != nil {
		return next, rejection
	}
	if c.MaxDocument > 0 && len(next.Bytes()) > c.MaxDocument {
		return next, &Rejection{Kind: TooLarge, Detail: fmt.Sprintf("with the members that only the server sets, the document would have %d bytes; the maximum is %d", len(next.Bytes()), c.MaxDocument)}
	}
	if violations := c.Collection.Validate(next.Value()); len(violations) > 0 {
		return next, &Rejection{Kind: Invalid, Violations: violations, Detail: "the document violates the schema of " + c.Collection.Name()}
	}
	return next, nil
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
	next, rejection := keep(c.Kept, s.Document, next)
	if rejection != nil {
		return next, rejection
	}
	if c.MaxDocument > 0 && len(next.Bytes()) > c.MaxDocument {
		return next, &Rejection{Kind: TooLarge, Detail: fmt.Sprintf("after the patch the document would have %d bytes; the maximum is %d", len(next.Bytes()), c.MaxDocument)}
	}
	if violations := c.Collection.Validate(next.Value()); len(violations) > 0 {
		return next, &Rejection{Kind: Invalid, Violations: violations, Detail: "after the patch the document would violate the schema of its collection"}
	}
	return next, nil
}
