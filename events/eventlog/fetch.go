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
	"github.com/clusterlite/clusterlite/events/wire"
)

const (
	// fetchBytes is how much is asked for at a time. A broker sends a larger batch whole.
	fetchBytes = 4 << 20
	// fetchWait is how long a broker waits for something to send. fetchPatience bounds the
	// answer on top of that, short enough to notice a broker that hangs.
	fetchWait     = 250 * time.Millisecond
	fetchPatience = 5 * time.Second
)

// A fetcher asks the broker that leads the log for what lies from an offset on. One
// goroutine uses it.
//
// Sarama's consumer can't take its place. It hands on records alone, and says nothing of
// offsets that hold none, such as the marker at the end of a transaction. Its reader would
// never learn that it has come to the end of a log that ends with one. Nor does it say
// which records are part of a transaction.
type fetcher struct {
	client      *kgo.Client
	connections *connections
	topic       string
	leader      *kmsg.MetadataResponseTopicPartition // nil until it is known
}

// newFetcher makes one. Its connections are cut when ctx ends.
func (l *Log) newFetcher(ctx context.Context) (*fetcher, error) {
	connections := l.config.newConnections(ctx)
	client, err := kgo.NewClient(append(l.clientOptions(connections),
		kgo.RequestTimeoutOverhead(fetchPatience),
		kgo.RequestRetries(1),
	)...)
	if err != nil {
		connections.cut()
		return nil, fmt.Errorf("create a client to read the log: %w", err)
	}
	return &fetcher{client: client, connections: connections, topic: l.config.Topic}, nil
}

// clientOptions are what all clients of franz-go share.
func (l *Log) clientOptions(c *connections) []kgo.Opt {
	return append(l.config.Security.clientOptions(),
		kgo.SeedBrokers(l.config.Brokers...),
		kgo.ClientID(l.config.ClientID),
		kgo.MaxVersions(kversion.V2_8_0()), // what the other clients speak, see clientConfig
		kgo.Dialer(c.dial),
		kgo.DisableClientMetrics(),
	)
}

func (f *fetcher) close() {
	f.connections.cut() // or the client would wait for a broker that hangs
	f.client.Close()
}

// fetch returns what the log holds from an offset on, without a gap: records, and in their
// place the fact that there are none. It returns nothing if
// nothing has come for a while, and an error that wraps [kerr.OffsetOutOfRange] if the log
// does not reach from before the offset to it. Any error may be one of the connection.
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
	return f.read(response, offset)
}

func (f *fetcher) findLeader(ctx context.Context) error {
	request, topic := kmsg.NewPtrMetadataRequest(), kmsg.NewMetadataRequestTopic()
	topic.Topic = &f.topic
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, f.client)
	if err != nil {
		return err
	}
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return err
		}
		for _, p := range t.Partitions {
			if p.Partition != partition {
				continue
			}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
			f.leader = &p
			return nil
		}
	}
	return kerr.UnknownTopicOrPartition
}

// ask asks for records that are committed to the log, whatever becomes of transactions
// that they are part of: to wait for the end of one would let any producer stop all nodes.
func (f *fetcher) ask(ctx context.Context, offset int64) (*kmsg.FetchResponseTopicPartition, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, fetchBytes
	p.CurrentLeaderEpoch = f.leader.LeaderEpoch // a leader that was deposed refuses
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
	return &kmsg.FetchResponseTopicPartition{}, nil // throttled, and so without an answer
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
	} // else the next fetch begins with what can't be read, and says so
	return all, nil
}

// A fetched is a record of the log, or says why there is none.
type fetched struct {
	wire.Stored
	none string // why there is no record up to the offset; empty if there is one
}

func newFetched(r *kgo.Record) fetched {
	if r.Attrs.IsControl() {
		// Its place, its time and its producer tell it from any other.
		return fetched{Stored: wire.Stored{Offset: r.Offset}, none: fmt.Sprintf("marker %d %d", r.Timestamp.UnixMilli(), r.ProducerID)}
	}
	s := wire.Stored{
		Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value,
		Headers: make([]wire.Header, len(r.Headers)), InTransaction: r.Attrs.IsTransactional(),
	}
	for i, h := range r.Headers {
		s.Headers[i] = wire.Header{Name: h.Key, Value: h.Value}
	}
	return fetched{Stored: s}
}

// record is what ClusterLite reads in it.
func (f fetched) record() events.Record {
	if f.none != "" {
		return events.NoRecordAt(f.Offset, f.none)
	}
	return wire.Parse(f.Stored)
}
