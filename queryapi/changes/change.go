package changes

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/wire"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// appendChange appends an event as clients see it: the line of `clusterlite events tail --output
// json`, without what the journal does not keep.
func appendChange(b []byte, e *journal.Entry, withPrevious bool, previous []byte) []byte {
	b = wire.AppendPublicLine(b, e.Event)
	b[len(b)-1] = ','
	b = append(b, `"position":"`...)
	b = strconv.AppendInt(b, int64(e.Position), 10)
	b = append(b, `","appendedat":"`...)
	b = append(b, events.FormatTime(e.Appended)...)
	b = append(b, '"')
	if withPrevious {
		b = append(b, `,"previous":`...)
		if previous == nil {
			previous = []byte("null")
		}
		b = append(b, previous...)
	}
	return append(b, '}')
}

// Append appends an event as the feed shows it.
func Append(b []byte, e *journal.Entry) []byte { return appendChange(b, e, false, nil) }

// AppendWithActor is Append with the client that asked for the change, if it is known.
func AppendWithActor(b []byte, e *journal.Entry) ([]byte, error) {
	b = Append(b, e)
	if e.Event.Actor == "" {
		return b, nil
	}
	b, err := jsontext.AppendQuote(append(b[:len(b)-1], `,"actor":`...), e.Event.Actor)
	return append(b, '}'), err
}

// previousOf returns the document before an event. It is nil if there was none, or if the caller may
// not see it.
func previousOf(j *journal.Journal, at events.Position, visible Rule) ([]byte, error) {
	if at == 0 {
		return nil, nil
	}
	e, err := j.At(at)
	if err != nil || e.Event.Kind == events.Deleted || !visible(&e) {
		return nil, err
	}
	return e.Event.Document, nil
}
