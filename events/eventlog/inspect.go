package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/fetch"
)

// PositionAt returns the position before the first record whose timestamp is at or after t, so
// that a reader that starts there misses nothing since t. If there is no such record, it returns
// the end of the log.
func (l *Log) PositionAt(ctx context.Context, t time.Time) (events.Position, error) {
	return withAdmin(ctx, l, func(client sarama.Client, _ sarama.ClusterAdmin) (events.Position, error) {
		offset, err := client.GetOffset(l.config.Topic, partition, max(0, t.UnixMilli()))
		if err == nil && offset < 0 { // there is no such record
			offset, err = client.GetOffset(l.config.Topic, partition, sarama.OffsetNewest)
		}
		if err != nil {
			return 0, fmt.Errorf("look up the position at %s: %w: %w", events.FormatTime(t), ErrUnreachable, err)
		}
		return events.Position(offset), nil
	})
}

// Scan calls each for the records between two positions, in order, and for an [events.NoRecord]
// where there are none. It returns the first error of each, an [OffsetGoneError] if the log no
// longer has a record, or ctx.Err().
func (l *Log) Scan(ctx context.Context, from, to events.Position, each func(events.Record) error) (err error) {
	s, err := l.Subscribe(from, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for at := from; at < to; {
		records, err := s.Take(ctx, int(min(scanned, to-at)))
		if err != nil {
			return err
		}
		for _, r := range records {
			r, _ = r.UpTo(to)
			if err := each(r); err != nil {
				return err
			}
			at = r.Position()
		}
	}
	return nil
}

// scanned is the maximum number of records that Scan takes at a time.
const scanned = 1000

// A RawRecord is a record as the topic holds it, regardless of its content.
type RawRecord struct {
	// Record is the parsed record.
	events.Record
	Key, Value []byte
	// Headers are in the order of the record.
	Headers []RawHeader
}

// A RawHeader is a header of a record.
type RawHeader struct{ Name, Value string }

// Read returns the record directly after a position, or an [events.NoRecord]. It returns an
// [OffsetGoneError] if the log does not have that position.
func (l *Log) Read(ctx context.Context, after events.Position) (RawRecord, error) {
	info, err := l.Describe(ctx)
	if err != nil {
		return RawRecord{}, err
	}
	if after < info.Start || after >= info.End {
		return RawRecord{}, &OffsetGoneError{Next: after}
	}
	found, err := l.first(ctx, int64(after))
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return RawRecord{}, &OffsetGoneError{Next: after}
	}
	if err != nil {
		return RawRecord{}, fmt.Errorf("read the record at offset %d: %w", after, err)
	}
	r := raw(found)
	// A gap may be longer, but here only one offset of it is relevant.
	r.Record, _ = r.UpTo(after + 1)
	return r, nil
}

// first fetches until there is a record or a gap at an offset.
func (l *Log) first(ctx context.Context, offset int64) (fetch.Offset, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	f, err := l.newFetcher(ctx)
	if err != nil {
		return fetch.Offset{}, err
	}
	defer f.Close()
	for {
		found, err := f.From(ctx, offset)
		switch {
		case l.ctx.Err() != nil:
			return fetch.Offset{}, ErrClosed
		case ctx.Err() != nil:
			return fetch.Offset{}, ctx.Err()
		case err != nil:
			return fetch.Offset{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
		case len(found) > 0:
			return found[0], nil
		}
	}
}

func raw(o fetch.Offset) RawRecord {
	r := RawRecord{Record: o.Record(), Key: o.Key, Value: o.Value}
	for _, h := range o.Headers {
		r.Headers = append(r.Headers, RawHeader{Name: h.Name, Value: string(h.Value)})
	}
	return r
}
