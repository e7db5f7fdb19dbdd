package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
)

// Progress is called with the progress of a phase, by the goroutine that does the work.
type Progress func(phase string, done, total int64, unit string)

// atATime is the number of events between two reports of progress.
const atATime = 1000

// ExportOptions define what to export.
type ExportOptions struct {
	// Log contains the events. Export does not change it.
	Log *eventlog.Log
	// Until is the end of the export.
	Until offline.Until
	// Progress must not be nil.
	Progress Progress
}

// Exported describes the content of an export.
type Exported struct {
	Trailer
	// Left is the number of records before the position that are not in the archive: void
	// records and barriers.
	Left int64
	// KeysLeft is the number of idempotency keys that are not in the archive because they
	// have expired.
	KeysLeft int64
}

// Export writes an archive of the log. It reads the log twice: first to learn which events
// are admitted, for which it builds a read model in a temporary folder ($TMPDIR), and then
// to write them. Writes may continue meanwhile; the archive does not contain events
// appended after the start.
func Export(ctx context.Context, options ExportOptions, w io.Writer) (Exported, error) {
	e := export{ExportOptions: options}
	built, err := build(ctx, options.Log, options.Until, options.Progress, func(r events.Record, v events.Verdict) error {
		e.admitted.add(r.Offset, v.Outcome == events.Admitted)
		return nil
	})
	if err != nil {
		return Exported{}, err
	}
	if e.out, err = NewWriter(w, built.Topic, built.TopicID); err != nil {
		return Exported{}, err
	}
	e.window = built.LogTime.Add(-events.IdempotencyWindow)
	if err := e.write(ctx, built.Position); err != nil {
		return Exported{}, err
	}
	e.done.Trailer, err = e.out.Finish(built.Position, digests(built))
	return e.done, err
}

// build builds a temporary read model of the log, to learn verdicts and digests.
func build(ctx context.Context, log *eventlog.Log, until offline.Until, progress Progress, judged func(events.Record, events.Verdict) error) (built offline.Built, err error) {
	dir, err := os.MkdirTemp("", "clusterlite-events-")
	if err != nil {
		return built, fmt.Errorf("create a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return offline.Build(ctx, offline.BuildOptions{
		Path: filepath.Join(dir, datafolder.FileName), Log: log, Until: until,
		// No collection is declared: the rows are the same, and building indexes would take
		// time.
		Collections: &collections.Set{},
		Progress:    func(at, end events.Position) { progress("applying", int64(at), int64(end), "records") },
		Judged:      judged,
	})
}

func digests(built offline.Built) map[string]string {
	all := make(map[string]string, len(built.Collections))
	for name, c := range built.Collections {
		all[name] = c.Digest.String()
	}
	return all
}

// export is an export in progress.
type export struct {
	ExportOptions
	admitted bitmap
	// window is a log time. Idempotency keys that were used after it are still valid.
	window  time.Time
	logTime time.Time
	out     *Writer
	done    Exported
}

// write writes the admitted events before end.
func (e *export) write(ctx context.Context, end events.Position) error {
	return e.Log.Scan(ctx, 0, end, func(r events.Record) error {
		if p := r.Position(); p%atATime == 0 || p == end {
			e.Progress("writing", int64(p), int64(end), "records")
		}
		return e.record(r)
	})
}

func (e *export) record(r events.Record) error {
	if r.Timestamp.After(e.logTime) {
		e.logTime = r.Timestamp
	}
	if r.Content == events.NoRecord {
		return nil
	}
	if !e.admitted.has(r.Offset) {
		e.done.Left++
		return nil
	}
	// An expired key can be used again, even in this log. In the new log all records have
	// recent times, so a second use of the key would be void there.
	if r.Event.IdempotencyKey != "" && !e.logTime.After(e.window) {
		r.Event.IdempotencyKey, r.Event.RequestHash = "", ""
		e.done.KeysLeft++
	}
	return e.out.Event(r.Event)
}

// bitmap is a set of offsets with one bit for each: 12 MB for a hundred million.
type bitmap []byte

// add records whether an offset is in the set. Offsets must come in order.
func (b *bitmap) add(offset int64, in bool) {
	for int64(len(*b)) <= offset/8 {
		*b = append(*b, 0)
	}
	if in {
		(*b)[offset/8] |= 1 << (offset % 8)
	}
}

func (b bitmap) has(offset int64) bool {
	return offset/8 < int64(len(b)) && b[offset/8]&(1<<(offset%8)) != 0
}
