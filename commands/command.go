package commands

import (
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

// An Action is what a client wants done to an entity.
type Action int

// The actions.
const (
	Create Action = iota
	Replace
	Patch
	Delete
)

// A Command is a wish of a client. It is valid by itself: the document is one, and it
// fits its schema; whether the state allows it is up to [Decide].
type Command struct {
	Action     Action
	Collection *collections.Collection
	// ID is the entity's; for Create a new one.
	ID string
	// Document is the new document, for Create and Replace.
	Document document.Document
	// Patch is a merge patch (RFC 7396), for Patch.
	Patch []byte
	// Match is the client's If-Match.
	Match Precondition
	// MaxDocument is the most bytes that a document may have after a Patch, or with its
	// defaults; zero means any.
	MaxDocument int
	// IdempotencyKey is the client's key, empty if it sent none. RequestHash then tells
	// the request; see [HashRequest].
	IdempotencyKey, RequestHash string
	// Consistency is how a rejection is made sure of: [events.Eventual] takes one on a state
	// that may be behind, [events.Linearizable] wants proof that the state is not, and all
	// else has the log asked for its end.
	Consistency events.Consistency
}

// A Precondition is what a client demands of the version that it changes.
type Precondition = contract.Precondition
