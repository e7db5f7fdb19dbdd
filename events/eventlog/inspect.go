package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events"
)

// PositionAt gives the position before the first record whose timestamp, the broker's
// clock at its append, is at or after t: who reads from there misses nothing since t.
// If there is none it is the end of the log.
func (l *Log) PositionAt(ctx context.Context, t time.Time) (events.Position, error) {
	return withAdmin(ctx, l, func(client sarama.Client, _ sarama.ClusterAdmin) (events.Position, error) {
		offset, err := client.GetOffset(l.config.Topic, partition, max(0, t.UnixMilli()))
		if err == nil && offset < 0 { // no such record
			offset, err = client.GetOffset(l.config.Topic, partition, sarama.OffsetNewest)
		}
		if err != nil {
			return 0, fmt.Errorf("ask for the position at %s: %w: %w", events.FormatTime(t), ErrUnreachable, err)
		}
		return events.Position(offset), nil
	})
}

// Scan hands the records from one position up to another to each, in order. It returns
// the first error of each, an [ErrGone] if the log doesn't hold one of them, or ctx.Err().
func (l *Log) Scan(ctx context.Context, from, to events.Position, each func(events.Record) error) (err error) {
	s, err := l.Subscribe(from)
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
			if err := each(r); err != nil {
				return err
			}
			at = r.Position()
		}
	}
	return nil
}

// scanned is how many records are taken at a time.
const scanned = 1000

// A RawRecord is a record as it lies in the topic, whatever it is.
type RawRecord struct {
	// Record is what ClusterLite reads in it.
	events.Record
	Key, Value []byte
	// Headers are in the order of the record.
	Headers []RawHeader
}

// A RawHeader is a header of a record.
type RawHeader struct{ Name, Value string }

// Read reads the one record after a position. It returns an [ErrGone] if the log has
// none there.
func (l *Log) Read(ctx context.Context, after events.Position) (RawRecord, error) {
	return withAdmin(ctx, l, func(client sarama.Client, admin sarama.ClusterAdmin) (RawRecord, error) {
		info, err := l.describe(client, admin)
		if err != nil {
			return RawRecord{}, err
		}
		if after < info.Start || after >= info.End {
			return RawRecord{}, &ErrGone{Next: after}
		}
		m, err := l.fetch(ctx, client, int64(after))
		if err != nil {
			return RawRecord{}, fmt.Errorf("read the record at offset %d: %w", after, err)
		}
		return rawRecord(m)
	})
}

func (l *Log) fetch(ctx context.Context, client sarama.Client, offset int64) (*sarama.ConsumerMessage, error) {
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer func() { _ = consumer.Close() }() // nothing is lost with it
	reader, err := consumer.ConsumePartition(l.config.Topic, partition, offset)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }()
	select {
	case m, ok := <-reader.Messages():
		if !ok {
			return nil, ErrUnreachable
		}
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ctx.Done():
		return nil, ErrClosed
	}
}

func rawRecord(m *sarama.ConsumerMessage) (RawRecord, error) {
	message, err := events.Codec{}.Unmarshal(m)
	if err != nil {
		return RawRecord{}, err
	}
	r := RawRecord{Record: events.ParseMessage(message), Key: m.Key, Value: m.Value}
	r.Offset, r.Timestamp = m.Offset, m.Timestamp
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, RawHeader{Name: string(h.Key), Value: string(h.Value)})
	}
	return r, nil
}
