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
	"github.com/clusterlite/clusterlite/projections"
)

// Progress is called with how far a phase of the work is, by the goroutine that works.
type Progress func(phase string, done, total int64, unit string)

// atATime is how many events are worked on between two tellings of progress.
const atATime = 1000

// ExportOptions say what to export.
type ExportOptions struct {
	// Log is where the events are. Nothing is changed there.
	Log *eventlog.Log
	// Until is how far to go.
	Until projections.Until
	// Progress must not be nil.
	Progress Progress
}

// Exported is what an export holds.
type Exported struct {
	Trailer
	// Left is how many records before the position are not in it: void ones and barriers.
	Left int64
	// KeysLeft is how many idempotency keys are not in it, since their window is over.
	KeysLeft int64
}

// Export writes an archive of the log. It reads the log twice: first to know what is
// admitted, for which it builds a read model in a temporary folder ($TMPDIR), then to write
// that. Writes continue meanwhile, and those after the beginning are not in it.
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
func build(ctx context.Context, log *eventlog.Log, until projections.Until, progress Progress, judged func(events.Record, events.Verdict) error) (built projections.Built, err error) {
	dir, err := os.MkdirTemp("", "clusterlite-events-")
	if err != nil {
		return built, fmt.Errorf("create a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return projections.Build(ctx, projections.BuildOptions{
		Path: filepath.Join(dir, projections.FileName), Log: log, Until: until,
		// None declared: the rows are the same, and indexes take time.
		Collections: &collections.Set{},
		Progress:    func(at, end events.Position) { progress("applying", int64(at), int64(end), "records") },
		Judged:      judged,
	})
}

func digests(built projections.Built) map[string]string {
	all := make(map[string]string, len(built.Collections))
	for name, c := range built.Collections {
		all[name] = c.Digest.String()
	}
	return all
}

// export is an export under way.
type export struct {
	ExportOptions
	admitted bitmap
	// window is the log time from which on idempotency keys are still used, itself not.
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
	// A key that has left the window can be used again, also in this log. In another one
	// all records are from the same hour, and a second use would be void.
	if r.Event.IdempotencyKey != "" && !e.logTime.After(e.window) {
		r.Event.IdempotencyKey, r.Event.RequestHash = "", ""
		e.done.KeysLeft++
	}
	return e.out.Event(r.Event)
}

// bitmap is a set of offsets, a bit each: twelve megabytes for a hundred million.
type bitmap []byte

// add notes whether an offset is in the set; offsets come in order.
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
