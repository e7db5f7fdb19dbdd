package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// A mark is how far a reader of the log has come.
type mark struct {
	position events.Position
	// last is the identity of the record before the position, or of the marker or gap that
	// is there instead; empty if it was not noted.
	last string
	// other says that the log was found to hold another than was read, and has been read
	// on since; else it is empty.
	other string
}

func (w *writer) mark() mark {
	last := w.last
	if !events.IdentifiesLastBefore(last, w.position) {
		last = "" // a version that notes none has written to the file since
	}
	return mark{position: w.position, last: last, other: w.meta[metaOther]}
}

// goesOn returns a [RefusedError] if the log is not the one that was read up to the mark:
// it doesn't hold the next record, or holds another as the last. Any other error says that
// the broker could not be asked. The mark must have been taken before the log was
// described: the other way round, a record applied in between looks like one that the log
// lost.
func (m mark) goesOn(ctx context.Context, log *eventlog.Log, info eventlog.Info) error {
	if err := outside(m.position, info); err != nil {
		return err
	}
	return m.isIn(ctx, log, info)
}

// isIn returns a [RefusedError] if the log holds another record than the last before the
// mark. What was deleted from the front can't be told.
func (m mark) isIn(ctx context.Context, log *eventlog.Log, info eventlog.Info) error {
	if m.other != "" {
		return &RefusedError{Reason: RefusedOther, Detail: m.other}
	}
	if m.last == "" || m.position <= info.Start {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	record, err := log.Read(ctx, m.position-1)
	if err != nil {
		return fmt.Errorf("read the last record that was applied: %w", err)
	}
	if found := record.Identity(); found != m.last {
		return &RefusedError{Reason: RefusedOther, Detail: fmt.Sprintf("this node applied record %d as %q (offset, time, id), but the log now has %q there", m.position, m.last, found)}
	}
	return nil
}

// noteOther has the file remember that it was built from records that the log lost, since
// some that came in their place may have been applied.
func (p *Projection) noteOther(detail string) {
	p.applying.Lock()
	defer p.applying.Unlock()
	if err := p.serving.Load().writer.remark(context.Background(), metaOther, detail); err != nil {
		p.options.Logger.Error("could not save that the log holds other records than this node has applied", "error", err)
	}
}

// readTimeout bounds how long one record may take to come.
const readTimeout = 10 * time.Second

// outside tells what keeps a reader at a position from reading on. It returns a nil
// error, not a nil *RefusedError.
func outside(position events.Position, info eventlog.Info) error {
	switch {
	case position > info.End:
		return &RefusedError{Reason: RefusedAhead, Detail: fmt.Sprintf("this node has applied %d records, but the log ends at position %d", position, info.End)}
	case position < info.Start:
		return &RefusedError{Reason: RefusedGap, Detail: fmt.Sprintf("this node has applied %d records, but the log starts at position %d", position, info.Start)}
	}
	return nil
}
