package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/wire"
	"github.com/clusterlite/clusterlite/projections/offline"
)

// appendBytes bounds the size of one append. A larger event is appended alone, so that no
// event follows one that the broker rejects.
const appendBytes = 4 << 20

// ImportOptions define what to import, and where to.
type ImportOptions struct {
	// Path is the archive. It is compressed if its name ends in .gz or .zst.
	Path string
	// Log receives the events. No other process may append to it during the import.
	Log *eventlog.Log
	// Progress must not be nil.
	Progress Progress
}

// Imported is the result of an import.
type Imported struct {
	Trailer Trailer
	// Found is the number of the archive's events that the log already held. Appended is the
	// number of events that the import appended.
	Found, Appended int64
	// Built describes the log after the import.
	Built offline.Built
	// Digests are the digests of the log's read model after the import.
	Digests map[string]string
}

// Equal reports whether the log yields the rows that the archive was exported from.
func (i Imported) Equal() bool { return maps.Equal(i.Digests, i.Trailer.Digests) }

// ForeignRecordsError is returned if the log holds admitted records that are not in the
// archive.
type ForeignRecordsError struct {
	Topic string
	// Found describes the records and their location.
	Found string
}

// Error describes the records, and what to do.
func (e *ForeignRecordsError) Error() string {
	return fmt.Sprintf("topic %s holds more than the export: %s. Nothing was appended. Import into a topic that is empty or holds the beginning of the same export. If the topic's content is not needed, delete the topic. Stop all command services on it until the import is done", e.Topic, e.Found)
}

// ConcurrentWriterError is returned if another process appends to the log during an import.
type ConcurrentWriterError struct {
	Topic          string
	Before, Behind events.Position
}

// Error describes what happened, and what to do.
func (e *ConcurrentWriterError) Error() string {
	return fmt.Sprintf("another process writes to topic %s: it appended records between positions %d and %d. Stop all command and query services on it, then run the import again. If those records change nothing, the import continues where it stopped", e.Topic, e.Before, e.Behind)
}

// Import appends the events of an archive to the log, in order and unchanged except for their
// positions and the broker's timestamps. It first reads the whole archive, and appends nothing
// if the archive is damaged. If the log already holds the beginning of the archive, Import
// appends only the rest, so an interrupted import can be repeated. At the end it builds a read
// model from the log. The caller must check [Imported.Equal].
//
// It returns a [DamagedError] if the archive is damaged, a [ForeignRecordsError] if the log holds
// other admitted records, a [ConcurrentWriterError], or an error of [eventlog.Log.Append].
func Import(ctx context.Context, options ImportOptions) (Imported, error) {
	i := importer{ImportOptions: options}
	for _, step := range []func(context.Context) error{i.check, i.find, i.append, i.verify} {
		if err := step(ctx); err != nil {
			return i.done, err
		}
	}
	return i.done, nil
}

// importer is an import in progress.
type importer struct {
	ImportOptions
	at      events.Position // the end of the log
	matched int64           // the number of the archive's events that were found in the log
	done    Imported
}

// read opens the archive, passes it to use, and closes it afterwards.
func (i *importer) read(use func(*source) error) (err error) {
	s, err := open(i.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return use(s)
}

// check reads the archive to its end.
func (i *importer) check(ctx context.Context) error {
	return i.read(func(s *source) error {
		for n := 0; ; n++ {
			_, err := s.Event()
			if errors.Is(err, io.EOF) {
				i.done.Trailer = s.Trailer
				return nil
			}
			if err != nil {
				return err
			}
			if n%atATime == 0 {
				i.Progress("checking "+i.Path, s.Read, s.Size, "bytes")
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
	})
}

// find determines where an earlier import stopped.
func (i *importer) find(ctx context.Context) error {
	info, err := i.Log.Prepare(ctx)
	if err != nil {
		return err
	}
	if info.Start > 0 {
		return &ForeignRecordsError{Topic: i.Log.Topic(), Found: fmt.Sprintf("its %d records were deleted", info.Start)}
	}
	i.at = info.End
	if info.End == 0 {
		return nil
	}
	_, err = i.match(ctx)
	i.done.Found = i.matched
	return err
}

// match compares the admitted events of the log with those of the archive. It ignores
// records that change nothing: barriers, and events that were appended twice because an
// earlier import did not learn that the first append succeeded.
func (i *importer) match(ctx context.Context) (built offline.Built, err error) {
	err = i.read(func(s *source) error {
		i.matched = 0
		built, err = build(ctx, i.Log, offline.UntilPosition(i.at), i.Progress, func(r events.Record, v events.Verdict) error {
			if v.Outcome != events.Admitted {
				return nil
			}
			i.matched++
			return i.same(s, r)
		})
		return err
	})
	return built, err
}

func (i *importer) same(s *source, r events.Record) error {
	line, err := s.Line()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err == nil && bytes.Equal(wire.AppendLine(nil, r.Event), line) {
		return nil
	}
	found := fmt.Sprintf("the record at offset %d (%s of %s, event %s, by %s) is not event %d of the file", r.Offset, r.Event.Type(), r.Event.EntityID, r.Event.ID, r.Event.Source, i.matched)
	if err != nil {
		found = fmt.Sprintf("the record at offset %d (%s of %s, event %s, by %s) comes after all %d events of the file", r.Offset, r.Event.Type(), r.Event.EntityID, r.Event.ID, r.Event.Source, i.done.Trailer.Events)
	}
	return &ForeignRecordsError{Topic: i.Log.Topic(), Found: found}
}

// append appends the events that the log does not hold yet.
func (i *importer) append(ctx context.Context) error {
	return i.read(func(s *source) error {
		for range i.done.Found {
			if _, err := s.Line(); err != nil {
				return err
			}
		}
		for {
			batch, err := next(s)
			if len(batch) > 0 {
				if err := i.appendBatch(ctx, batch); err != nil {
					return err
				}
				i.Progress("appending", i.done.Found+i.done.Appended, i.done.Trailer.Events, "events")
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

func (i *importer) appendBatch(ctx context.Context, batch []events.Event) error {
	at, err := i.Log.Append(ctx, batch...)
	if err != nil {
		return fmt.Errorf("append the events of the file from event %d on: %w. Run the import again to continue", i.done.Found+i.done.Appended+1, err)
	}
	if want := i.at + events.Position(len(batch)); at != want {
		return &ConcurrentWriterError{Topic: i.Log.Topic(), Before: i.at, Behind: at}
	}
	i.at = at
	i.done.Appended += int64(len(batch))
	return nil
}

// next reads a batch of events. The error, io.EOF or another, applies after the batch.
func next(s *source) (batch []events.Event, err error) {
	for size := 0; len(batch) < atATime && size < appendBytes; {
		e, err := s.Event()
		if err != nil {
			return batch, err
		}
		batch = append(batch, e)
		size += len(e.Document)
	}
	return batch, nil
}

// verify builds a read model of the log, and records its state in the result.
func (i *importer) verify(ctx context.Context) (err error) {
	if i.done.Built, err = i.match(ctx); err != nil {
		return err
	}
	i.done.Digests = digests(i.done.Built)
	return nil
}
