package sqlmodel

import (
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// An Event is an admitted event, as models see it.
type Event struct {
	// Position is the position in the log after the event: that of the response to the write.
	Position       events.Position
	Time           time.Time
	Kind           events.Kind
	Collection, ID string
	Version        int64
	// Document is the document after the event, without id and version; nil after a deletion.
	// Previous is the document before it; nil for a creation.
	Document, Previous []byte
}

// argument returns the value of a parameter of a statement.
func (e *Event) argument(name string) any {
	switch name {
	case "position":
		return int64(e.Position)
	case "time":
		return events.FormatTime(e.Time)
	case "type":
		return string(e.Kind)
	case "collection":
		return e.Collection
	case "id":
		return e.ID
	case "version":
		return e.Version
	case "document":
		return text(e.Document)
	default:
		return text(e.Previous)
	}
}

// text returns a document as SQLite's functions for JSON expect it. They would take bytes for
// their own binary form.
func text(document []byte) any {
	if document == nil {
		return nil
	}
	return string(document)
}

// An EventError says that a statement failed for an event. The model is at the position before the
// event.
type EventError struct {
	Event     Event
	Statement Statement
	Err       error
}

// Error names the event, the statement and the error.
func (e *EventError) Error() string {
	return fmt.Sprintf("%s.%s of %s version %d at position %d: %s:%d: %v, in %s",
		e.Event.Collection, e.Event.Kind, e.Event.ID, e.Event.Version, e.Event.Position, e.Statement.File, e.Statement.Line, e.Err, brief(e.Statement.Text))
}

// Unwrap returns the error of SQLite.
func (e *EventError) Unwrap() error { return e.Err }
