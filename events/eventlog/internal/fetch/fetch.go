// Package fetch reads the log from the broker that leads it.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/conns"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/metadata"
	"github.com/clusterlite/clusterlite/events/wire"
)

const (
	// fetchBytes is the number of bytes that one fetch asks for. A broker sends a larger batch
	// completely.
	fetchBytes = 4 << 20
	// fetchWait is how long a broker waits for records.
	fetchWait = 250 * time.Millisecond
	// Patience is the time for an answer in addition to what the broker waits for records. It is short
	// enough to notice a broker that hangs.
	Patience = 5 * time.Second
)

// A Fetcher asks the broker that leads the log for the records from an offset on. Use it from one
// goroutine.
//
// Sarama's consumer can't replace it. It returns only records, and does not report offsets
// without a record, such as the marker at the end of a transaction. Its reader would never learn
// that it has reached the end of a log that ends with such an offset. It also does not report
// which records are part of a transaction.
type Fetcher struct {
	client      *kgo.Client
	connections *conns.Connections
	topic       string
	partition   int32
	leader      *kmsg.MetadataResponseTopicPartition // nil while it is unknown
	end         int64                                // the end of the log at the last fetch
	// compared is the number of connections that had been opened before the log was last compared with
	// what was read from it.
	compared int64
}

// New returns a fetcher for one partition. Its Close closes the client, whose connections are the given ones.
func New(client *kgo.Client, connections *conns.Connections, topic string, partition int32) *Fetcher {
	return &Fetcher{client: client, connections: connections, topic: topic, partition: partition, compared: -1}
}

// Close closes the client.
func (f *Fetcher) Close() {
	f.connections.Cut() // otherwise the client would wait for a broker that hangs
	f.client.Close()
}

// End is the end of the log at the last fetch.
func (f *Fetcher) End() int64 { return f.end }

// From returns the content of the log from an offset on, without gaps: records, and
// [events.NoRecord] where there are none. The result is empty if nothing arrived for a while. The
// error wraps [kerr.OffsetOutOfRange] if the log does not have the offset. After any error, the
// connection may be broken.
func (f *Fetcher) From(ctx context.Context, offset int64) ([]Offset, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+Patience)
	defer cancel()
	if f.leader == nil {
		leader, err := f.Partition(ctx)
		if err != nil {
			return nil, fmt.Errorf("find the leader of %s: %w", f.topic, err)
		}
		f.leader = &leader
	}
	response, err := f.ask(ctx, offset)
	if err != nil {
		return nil, fmt.Errorf("fetch from offset %d of %s: %w", offset, f.topic, err)
	}
	f.end = response.HighWatermark
	return f.read(response, offset)
}

// ReplacedError is returned if the log holds another record in the place of one that was read: the log has
// lost records, and others have taken their place.
type ReplacedError struct {
	// Position is the position of the record.
	Position events.Position
	// Read and Found are the identities of the record that was read and of the one in its place.
	Read, Found string
}

// Error says what happened.
func (e *ReplacedError) Error() string {
	return fmt.Sprintf("record %d was read as %q (offset, time, id), but the log now has %q there", e.Position, e.Read, e.Found)
}

// After is From for a reader that has read the log up to an offset. last is the identity of the record before it,
// or empty if that is unknown. The first answer over a new connection counts only if the log still has that record:
// the broker may have lost records while it was away, and others may have taken their place. If the log has
// another record there, the error is a [ReplacedError].
func (f *Fetcher) After(ctx context.Context, offset int64, last string) ([]Offset, error) {
	opened := f.connections.Opened()
	if last == "" || f.compared == opened {
		found, err := f.From(ctx, offset)
		if last != "" && f.connections.Opened() != opened {
			found = nil
		}
		return found, err
	}
	found, err := f.From(ctx, offset-1)
	if errors.Is(err, kerr.OffsetOutOfRange) { // the record may have been deleted from the front of the log
		f.compared = opened
		return f.From(ctx, offset)
	}
	if err != nil || f.end < offset { // a deposed leader may not know of the record yet
		return nil, err
	}
	if found, err = following(found, offset, last); err != nil {
		return nil, err
	}
	f.compared = opened
	return found, nil
}

// following returns what found has from an offset on. Unless it is empty, it must begin with the record before the
// offset, whose identity is last.
func following(found []Offset, offset int64, last string) ([]Offset, error) {
	if len(found) == 0 {
		return nil, nil
	}
	r, continues := found[0].Record().UpTo(events.Position(offset))
	if is := r.Identity(); is != last {
		return nil, &ReplacedError{Position: events.Position(offset), Read: last, Found: is}
	}
	if continues { // it is a gap, which does not end before the offset
		return found, nil
	}
	return found[1:], nil
}

// Partition is [metadata.Partition] for the partition of the fetcher.
func (f *Fetcher) Partition(ctx context.Context) (kmsg.MetadataResponseTopicPartition, error) {
	return metadata.Partition(ctx, f.client, f.topic, f.partition)
}

// Explain is [conns.Connections.Explain] for the connections of the fetcher.
func (f *Fetcher) Explain(err error) error { return f.connections.Explain(err) }

// ask asks for records that are committed to the log, regardless of their transactions. If nodes
// waited for the end of a transaction, any producer could stop all of them.
func (f *Fetcher) ask(ctx context.Context, offset int64) (*kmsg.FetchResponseTopicPartition, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = f.partition, offset, fetchBytes
	p.CurrentLeaderEpoch = f.leader.LeaderEpoch // a deposed leader rejects the request
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.Partitions = f.topic, append(topic.Partitions, p)
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = int32(fetchWait.Milliseconds()), 1, fetchBytes
	request.SessionEpoch = -1 // no session
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, f.client.Broker(int(f.leader.Leader)))
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, err
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if p.Partition == f.partition {
				return &p, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return &kmsg.FetchResponseTopicPartition{}, nil // an empty answer, because the broker throttles
}

func (f *Fetcher) read(response *kmsg.FetchResponseTopicPartition, offset int64) ([]Offset, error) {
	part, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true,
		Offset:             offset,
		IsolationLevel:     kgo.ReadUncommitted(),
		Topic:              f.topic,
		Partition:          f.partition,
	}, response, kgo.DefaultDecompressor(), nil)
	all := make([]Offset, 0, len(part.Records)+1)
	gap := func(to int64) {
		if offset < to {
			all = append(all, Offset{Stored: wire.Stored{Offset: to - 1}, none: events.Gap})
		}
	}
	for _, r := range part.Records {
		gap(r.Offset)
		all = append(all, of(r))
		offset = r.Offset + 1
	}
	if part.Err == nil {
		gap(next)
	} else if len(all) == 0 {
		return nil, fmt.Errorf("read the record at offset %d of %s: %w", offset, f.topic, part.Err)
	} // otherwise the next fetch starts with the unreadable record and reports it
	return all, nil
}

// An Offset of the log has either a record, or a reason why it holds no record.
type Offset struct {
	wire.Stored
	none string // why there is no record up to the offset; empty if there is one
}

func of(r *kgo.Record) Offset {
	if r.Attrs.IsControl() {
		// Offset, time and producer distinguish the marker from any other.
		return Offset{Stored: wire.Stored{Offset: r.Offset}, none: fmt.Sprintf("marker %d %d", r.Timestamp.UnixMilli(), r.ProducerID)}
	}
	return Offset{Stored: StoredOf(r, make([]wire.Header, 0, len(r.Headers)))}
}

// StoredOf returns a record as the topic holds it. It appends its headers to headers.
func StoredOf(r *kgo.Record, headers []wire.Header) wire.Stored {
	for _, h := range r.Headers {
		headers = append(headers, wire.Header{Name: h.Key, Value: h.Value})
	}
	return wire.Stored{
		Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value,
		Headers: headers, InTransaction: r.Attrs.IsTransactional(),
	}
}

// Record parses the record.
func (o Offset) Record() events.Record {
	if o.none != "" {
		return events.NoRecordAt(o.Offset, o.none)
	}
	return wire.Parse(o.Stored)
}
