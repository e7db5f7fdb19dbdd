package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog/internal/metadata"
	"github.com/clusterlite/clusterlite/events/wire"
)

const (
	// fetchBytes is the number of bytes that one fetch asks for. A broker sends a larger batch
	// completely.
	fetchBytes = 4 << 20
	// fetchWait is how long a broker waits for records. fetchPatience is the time for the answer
	// in addition to that, short enough to notice a broker that hangs.
	fetchWait     = 250 * time.Millisecond
	fetchPatience = 5 * time.Second
)

// A fetcher asks the broker that leads the log for the records from an offset on. Use it from one
// goroutine.
//
// Sarama's consumer can't replace it. It returns only records, and does not report offsets
// without a record, such as the marker at the end of a transaction. Its reader would never learn
// that it has reached the end of a log that ends with such an offset. It also does not report
// which records are part of a transaction.
type fetcher struct {
	client      *kgo.Client
	connections *connections
	topic       string
	leader      *kmsg.MetadataResponseTopicPartition // nil while it is unknown
	end         int64                                // the end of the log at the last fetch
}

// newFetcher returns a fetcher. Its connections are cut when ctx ends.
func (l *Log) newFetcher(ctx context.Context) (*fetcher, error) {
	connections := l.config.newConnections(ctx)
	client, err := kgo.NewClient(append(l.clientOptions(connections),
		kgo.RequestTimeoutOverhead(fetchPatience),
		kgo.RequestRetries(1),
	)...)
	if err != nil {
		connections.Cut()
		return nil, fmt.Errorf("create a client to read the log: %w", err)
	}
	return &fetcher{client: client, connections: connections, topic: l.config.Topic}, nil
}

// clientOptions are the options that all clients of franz-go share.
func (l *Log) clientOptions(c *connections) []kgo.Opt {
	return append(l.config.Security.clientOptions(),
		kgo.SeedBrokers(l.config.Brokers...),
		kgo.ClientID(l.config.ClientID),
		kgo.MaxVersions(kversion.V2_8_0()), // the version of the other clients: see clientConfig
		kgo.Dialer(c.DialContext),
		kgo.DisableClientMetrics(),
	)
}

func (f *fetcher) close() {
	f.connections.Cut() // otherwise the client would wait for a broker that hangs
	f.client.Close()
}

// fetch returns the content of the log from an offset on, without gaps: records, and
// [events.NoRecord] where there are none. The result is empty if nothing arrived for a while. The
// error wraps [kerr.OffsetOutOfRange] if the log does not have the offset. After any error, the
// connection may be broken.
func (f *fetcher) fetch(ctx context.Context, offset int64) ([]fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+fetchPatience)
	defer cancel()
	if f.leader == nil {
		if err := f.findLeader(ctx); err != nil {
			return nil, fmt.Errorf("find the leader of %s: %w", f.topic, err)
		}
	}
	response, err := f.ask(ctx, offset)
	if err != nil {
		return nil, fmt.Errorf("fetch from offset %d of %s: %w", offset, f.topic, err)
	}
	f.end = response.HighWatermark
	return f.read(response, offset)
}

func (f *fetcher) findLeader(ctx context.Context) error {
	leader, err := metadata.Partition(ctx, f.client, f.topic, partition)
	if err == nil {
		f.leader = &leader
	}
	return err
}

// ask asks for records that are committed to the log, regardless of their transactions. If nodes
// waited for the end of a transaction, any producer could stop all of them.
func (f *fetcher) ask(ctx context.Context, offset int64) (*kmsg.FetchResponseTopicPartition, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, fetchBytes
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
			if p.Partition == partition {
				return &p, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return &kmsg.FetchResponseTopicPartition{}, nil // an empty answer, because the broker throttles
}

func (f *fetcher) read(response *kmsg.FetchResponseTopicPartition, offset int64) ([]fetched, error) {
	part, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true,
		Offset:             offset,
		IsolationLevel:     kgo.ReadUncommitted(),
		Topic:              f.topic,
		Partition:          partition,
	}, response, kgo.DefaultDecompressor(), nil)
	all := make([]fetched, 0, len(part.Records)+1)
	gap := func(to int64) {
		if offset < to {
			all = append(all, fetched{Stored: wire.Stored{Offset: to - 1}, none: events.Gap})
		}
	}
	for _, r := range part.Records {
		gap(r.Offset)
		all = append(all, newFetched(r))
		offset = r.Offset + 1
	}
	if part.Err == nil {
		gap(next)
	} else if len(all) == 0 {
		return nil, fmt.Errorf("read the record at offset %d of %s: %w", offset, f.topic, part.Err)
	} // otherwise the next fetch starts with the unreadable record and reports it
	return all, nil
}

// A fetched is an offset of the log: either its record, or the reason why it holds no record.
type fetched struct {
	wire.Stored
	none string // why there is no record up to the offset; empty if there is one
}

func newFetched(r *kgo.Record) fetched {
	if r.Attrs.IsControl() {
		// Offset, time and producer distinguish the marker from any other.
		return fetched{Stored: wire.Stored{Offset: r.Offset}, none: fmt.Sprintf("marker %d %d", r.Timestamp.UnixMilli(), r.ProducerID)}
	}
	return fetched{Stored: storedOf(r, make([]wire.Header, 0, len(r.Headers)))}
}

// storedOf returns a record as the topic holds it. It appends its headers to headers.
func storedOf(r *kgo.Record, headers []wire.Header) wire.Stored {
	for _, h := range r.Headers {
		headers = append(headers, wire.Header{Name: h.Key, Value: h.Value})
	}
	return wire.Stored{
		Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value,
		Headers: headers, InTransaction: r.Attrs.IsTransactional(),
	}
}

// record parses the record.
func (f fetched) record() events.Record {
	if f.none != "" {
		return events.NoRecordAt(f.Offset, f.none)
	}
	return wire.Parse(f.Stored)
}
