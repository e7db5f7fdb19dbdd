package eventlog

import (
	"context"
	"time"
)

// A Pause is the time between a fetch that brought records and the next one of the same
// subscription. It grows with the number of records in the fetch. If it grows by half a millisecond
// for each of them, it stays near its minimum until the log gets about two records a millisecond, and
// above that rate it soon reaches its maximum (docs/decisions/2026-11-27-pauses-under-load.md).
type Pause struct {
	// Min and Max bound the pause. A fetch that brings only a few records is followed by Min. If
	// Max is less than Min, all pauses last for Min.
	Min, Max time.Duration
	// OfRecord is the part of the pause that each record of the fetch adds.
	OfRecord time.Duration
	// UntilAppended ends a pause as soon as the broker acknowledges an append of this process. Use
	// it if callers wait for the records that they append.
	UntilAppended bool
}

const (
	// fewRecords is the number of records in a fetch up to which the pause stays at its minimum.
	fewRecords = 4
	// manyRecords is the number of records in a fetch from which a subscription counts as behind.
	// It then fetches the next ones at once.
	manyRecords = 256
)

// after returns the pause after a fetch that brought this number of records.
func (p Pause) after(records int) time.Duration {
	switch {
	case records >= manyRecords:
		return 0
	case records <= fewRecords:
		return p.Min
	default:
		return max(p.Min, min(p.Max, time.Duration(records)*p.OfRecord))
	}
}

// pause lets records accumulate after a fetch that brought some, so that the next one, from an
// offset on, brings several of them. It ends once a caller needs records from this offset on.
func (l *Log) pause(ctx context.Context, records int, next int64) {
	wait := l.config.FetchPause.after(records)
	if wait == 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for !l.demand.From(next) {
		select {
		case <-l.demand.More:
		case <-timer.C:
			return
		case <-l.hurry:
			return
		case <-ctx.Done():
			return
		}
	}
}

// endPause ends the current pause, or the next one. A caller that asks for the end of the log will
// wait for its records, so the call comes before the question.
func (l *Log) endPause() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}
