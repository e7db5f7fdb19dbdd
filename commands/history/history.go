// Package history reads earlier versions of entities from the journal of the node, for commands that
// restore one.
package history

import (
	"errors"
	"fmt"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// A Model is what restoring needs of the projection. [projections.Projection] implements it. It must
// be safe for concurrent use.
type Model interface {
	// Journal returns the journal of events, and a function that the caller calls when it has read.
	// The error is [projections.ErrNoJournal] if the node keeps none.
	Journal() (j *journal.Journal, release func(), err error)
}

// A Version is an entity as an event left it.
type Version struct {
	// Document is the document in the event, and Rendered the entity as clients saw it.
	Document, Rendered []byte
}

// ErrUnreadable means that the node can't read the version, because it keeps no journal, or because
// the journal lacks the version or is damaged.
var ErrUnreadable = errors.New("the journal does not have the version")

// Find returns a version of an entity. The error is [journal.ErrNotFound] if the entity has no such
// version, or if that version is a deletion. Otherwise it wraps [ErrUnreadable]. A nil m means that
// the node keeps no journal.
func Find(m Model, collection, id string, version int64) (Version, error) {
	v, err := find(m, collection, id, version)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return v, err
}

func find(m Model, collection, id string, version int64) (Version, error) {
	if m == nil {
		return Version{}, projections.ErrNoJournal
	}
	j, release, err := m.Journal()
	if err != nil {
		return Version{}, err
	}
	defer release()
	e, err := j.Version(collection, id, version)
	if err != nil {
		return Version{}, err
	}
	return render(j, &e)
}

func render(j *journal.Journal, e *journal.Entry) (Version, error) {
	if e.Event.Kind == events.Deleted {
		return Version{}, journal.ErrNotFound
	}
	rendered, err := j.Render(e)
	if err != nil {
		return Version{}, err
	}
	return Version{e.Event.Document, rendered}, nil
}
