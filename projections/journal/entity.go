package journal

import (
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// Shown returns the event whose document shows the entity of an event: the event itself, or for a
// deletion, which has no document, the one before it. The error is that of [Journal.At].
func (j *Journal) Shown(e *Entry) (*Entry, error) {
	if e.Event.Kind != events.Deleted {
		return e, nil
	}
	before, err := j.At(e.Previous)
	if err != nil {
		return nil, err
	}
	return &before, nil
}

// Created returns when the entity of an event was created. The error is that of [Journal.Version].
func (j *Journal) Created(e *Entry) (time.Time, error) {
	if e.Event.Version <= 1 {
		return e.Event.Time, nil
	}
	first, err := j.Version(e.Event.Collection, e.Event.EntityID, 1)
	return first.Event.Time, err
}

// Render returns the entity as clients saw it after an event, which must not be a deletion. The
// error is that of [Journal.Version].
func (j *Journal) Render(e *Entry) ([]byte, error) {
	created, err := j.Created(e)
	if err != nil {
		return nil, err
	}
	return e.Rendered(created), nil
}

// Rendered is [Journal.Render] for a caller that knows when the entity was created.
func (e *Entry) Rendered(created time.Time) []byte {
	return document.Render(e.Event.EntityID, e.Event.Version, events.FormatTime(created), events.FormatTime(e.Event.Time), e.Event.Document)
}
