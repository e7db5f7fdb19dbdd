package commands

import (
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
)

// An Action is what a command does to an entity.
type Action int

// The actions.
const (
	Create Action = iota
	Replace
	Patch
	Delete
	// Restore is a Replace with the document of an earlier version. It also brings a deleted entity
	// back.
	Restore
)

// A Command is what a client wants to do to an entity. It is valid by itself: its document
// matches the schema. [Decide] checks whether the state of the entity allows it.
type Command struct {
	Action     Action
	Collection *collections.Collection
	// Asker is who sent the command.
	Asker Asker
	// Kept are the members that a Replace, Patch or Restore can't change, because only the server
	// sets them. A Replace or Restore with such members is validated when it is decided.
	Kept []string
	// ID is the id of the entity. For Create it is new.
	ID string
	// Document is the new document, for Create, Replace and Restore.
	Document document.Document
	// Patch is a merge patch (RFC 7396), for Patch.
	Patch []byte
	// Match is the client's If-Match. A deleted entity has the version of its deletion, and does not
	// satisfy If-Match: *, which asks for one that exists.
	Match Precondition
	// MaxDocument is the maximum size in bytes of the document after a Patch, and with its
	// default values. Zero means no limit.
	MaxDocument int
	// IdempotencyKey is the client's key, or empty. RequestHash then identifies the request; see
	// [HashRequest].
	IdempotencyKey, RequestHash string
	// Consistency is how recent the state must be on which the command is rejected. With
	// [events.Eventual] it may be behind, and [events.Linearizable] demands proof. Otherwise the
	// log is asked for its end.
	Consistency events.Consistency
}

// A Precondition is what a client demands of the current version.
type Precondition = contract.Precondition
