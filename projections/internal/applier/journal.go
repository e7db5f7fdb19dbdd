package applier

import (
	"errors"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A recorder writes the admitted events of each batch to a journal. It follows the read model: what
// it appends is published after the commit, and cut off if there is none. A nil *recorder does
// nothing.
type recorder struct {
	journal *journal.Journal
	entries []journal.Entry // reused
}

// Record makes the writer keep a journal, which is at the writer's position.
func (w *Writer) Record(j *journal.Journal) { w.recorder = &recorder{journal: j} }

// write appends a batch. before is the log time before it. A journal that was found damaged stops
// the batches of the journal, and not those of the read model.
func (r *recorder) write(before time.Time, done []readmodel.Judged) error {
	if r == nil {
		return nil
	}
	logTime := before
	for i := range done {
		record := &done[i].Record
		if record.Timestamp.After(logTime) {
			logTime = record.Timestamp
		}
		if !done[i].Admitted() {
			continue
		}
		e := journal.Entry{Position: record.Position(), Appended: record.Timestamp, LogTime: logTime, Event: record.Event}
		e.Event.Claims, e.Event.IdempotencyKey, e.Event.RequestHash = nil, "", ""
		r.entries = append(r.entries, e)
	}
	err := r.journal.Append(r.entries, done[len(done)-1].Record.Position(), logTime)
	clear(r.entries)
	r.entries = r.entries[:0]
	return passDamage(err)
}

// committed publishes a batch.
func (r *recorder) committed(at events.Position) {
	if r != nil {
		r.journal.Publish(at)
	}
}

// rolledBack removes a batch that was not committed.
func (r *recorder) rolledBack(at events.Position) error {
	if r == nil {
		return nil
	}
	return passDamage(r.journal.Cut(at))
}

func passDamage(err error) error {
	var damaged *journal.DamagedError
	if errors.As(err, &damaged) {
		return nil // the journal says so itself
	}
	return err
}
