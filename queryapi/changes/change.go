package changes

import (
	"strconv"

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

// previousOf returns the document before an event, or nil if there was none.
func previousOf(j *journal.Journal, at events.Position) ([]byte, error) {
	if at == 0 {
		return nil, nil
	}
	e, err := j.At(at)
	return e.Event.Document, err
}
