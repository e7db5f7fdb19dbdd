package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/clusterlite/clusterlite/events"
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
	connections := newConnections(ctx, l.config.AskTimeout)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(l.config.Brokers...),
		kgo.ClientID(l.config.ClientID),
		kgo.MaxVersions(kversion.V2_8_0()), // what the other clients speak, see clientConfig
		kgo.Dialer(connections.dial),
		kgo.RequestTimeoutOverhead(fetchPatience),
		kgo.RequestRetries(1),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		connections.cut()
		return nil, fmt.Errorf("make a client to read the log: %w", err)
	}
	return &fetcher{client: client, connections: connections, topic: l.config.Topic}, nil
}

func (f *fetcher) close() {
	f.connections.cut() // or the client would wait for a broker that hangs
	f.client.Close()
}

// fetch returns what the log holds from an offset on, without a gap: records, and in their
// place messages made by [events.NewNoRecord] where there are none. It returns nothing if
// nothing has come for a while, and an error that wraps [kerr.OffsetOutOfRange] if the log
// does not reach from before the offset to it. Any error may be one of the connection.
func (f *fetcher) fetch(ctx context.Context, offset int64) ([]*sarama.ConsumerMessage, error) {
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

func (f *fetcher) read(response *kmsg.FetchResponseTopicPartition, offset int64) ([]*sarama.ConsumerMessage, error) {
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true,
		Offset:             offset,
		IsolationLevel:     kgo.ReadUncommitted(),
		Topic:              f.topic,
		Partition:          partition,
	}, response, kgo.DefaultDecompressor(), nil)
	messages := make([]*sarama.ConsumerMessage, 0, len(fetched.Records)+1)
	gap := func(to int64) {
		if offset < to {
			messages = append(messages, events.NewNoRecord(f.topic, partition, to-1, events.Gap))
		}
	}
	for _, r := range fetched.Records {
		gap(r.Offset)
		messages = append(messages, newMessage(r))
		offset = r.Offset + 1
	}
	if fetched.Err == nil {
		gap(next)
	} else if len(messages) == 0 {
		return nil, fmt.Errorf("read what lies at offset %d of %s: %w", offset, f.topic, fetched.Err)
	} // else the next fetch begins with what can't be read, and says so
	return messages, nil
}

// newMessage gives a record as Watermill's subscriber takes it.
func newMessage(r *kgo.Record) *sarama.ConsumerMessage {
	if r.Attrs.IsControl() {
		// Its place, its time and its producer tell it from any other.
		what := fmt.Sprintf("marker %d %d", r.Timestamp.UnixMilli(), r.ProducerID)
		return events.NewNoRecord(r.Topic, r.Partition, r.Offset, what)
	}
	m := &sarama.ConsumerMessage{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
		Timestamp: r.Timestamp, Key: r.Key, Value: r.Value,
	}
	m.Headers = headers(r.Headers)
	if r.Attrs.IsTransactional() {
		events.InTransaction(m)
	}
	return m
}

// headers gives a record's headers as sarama has them. Their names share one piece of
// memory: there are a dozen in each record.
func headers(of []kgo.RecordHeader) []*sarama.RecordHeader {
	size := 0
	for _, h := range of {
		size += len(h.Key)
	}
	names, all := make([]byte, 0, size), make([]sarama.RecordHeader, len(of))
	pointers := make([]*sarama.RecordHeader, len(of), len(of)+1) // and a mark
	for i, h := range of {
		begin := len(names)
		names = append(names, h.Key...)
		all[i] = sarama.RecordHeader{Key: names[begin:len(names):len(names)], Value: h.Value}
		pointers[i] = &all[i]
	}
	return pointers
}
