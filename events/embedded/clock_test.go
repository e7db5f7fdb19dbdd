package embedded

import (
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
)

// Every record has the broker's time, regardless of the producer's clock and of how the producer
// packs its records. Every client reads this time, also after a restart.
func TestRecordsHaveTheBrokersTime(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	makeTopic(t, client(t, b))
	began := time.Now().Add(-time.Second)
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		// One batch with a record of each clock, large enough to be compressed.
		c := client(t, b, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(50*time.Millisecond))
		var batch []*kgo.Record
		for i, off := range []time.Duration{30 * time.Hour, 0, -30 * time.Hour, 400 * 24 * time.Hour, -50 * 365 * 24 * time.Hour} {
			batch = append(batch, &kgo.Record{
				Key: []byte(name), Value: slices.Repeat([]byte{byte('a' + i)}, 500), Timestamp: time.Now().Add(off),
				Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("x")}},
			})
		}
		if err := c.ProduceSync(soon(t), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// An old client marks its batch as LogAppendTime, as only a broker should.
	marked(t, b)
	expect := func(b *Broker) {
		t.Helper()
		ended := time.Now().Add(time.Second)
		expectRecord := func(who string, offset int64, at time.Time, value []byte) {
			if at.Before(began) || at.After(ended) {
				t.Errorf("%s: got the time %v at offset %d, want one from %v to %v", who, at, offset, began, ended)
			}
			if len(value) != 500 && offset < 25 {
				t.Errorf("%s: got %d bytes at offset %d, want 500", who, len(value), offset)
			}
		}
		records := read(t, b)
		if len(records) != 26 {
			t.Fatalf("got %d records, want 26", len(records))
		}
		for _, r := range records {
			expectRecord("franz-go", r.Offset, r.Timestamp, r.Value)
			if string(r.Value) == "" || r.Offset < 25 && (r.Value[0] != byte('a'+r.Offset%5) || len(r.Headers) != 1) {
				t.Errorf("got the value %q and %d headers at offset %d, want the record that was produced", r.Value, len(r.Headers), r.Offset)
			}
		}
		for _, m := range saramaRead(t, b, 26) {
			expectRecord("sarama", m.Offset, m.Timestamp, m.Value)
		}
		// A search by time agrees with the times that clients read.
		listed := kmsg.NewListOffsetsRequest()
		listed.ReplicaID = -1
		topic, p := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = ended.Add(time.Hour).UnixMilli()
		topic.Topic, topic.Partitions = testTopic, append(topic.Partitions, p)
		listed.Topics = append(listed.Topics, topic)
		answer, err := listed.RequestWith(soon(t), client(t, b))
		if err != nil || answer.Topics[0].Partitions[0].Offset != -1 {
			t.Errorf("a time in the future: got %v, %+v, want the offset -1", err, answer)
		}
	}
	expect(b)
	b.Close()
	expect(start(t, dir))
	killed := kill(t, dir)
	if err := checkStopped(killed); err != nil {
		t.Error(err)
	}
}

// marked produces a batch that claims to have LogAppendTime.
func marked(t *testing.T, b *Broker) {
	t.Helper()
	answer := produceRaw(t, b, func(batch *kmsg.RecordBatch) {
		batch.Attributes = attributeLogAppendTime
		batch.FirstTimestamp, batch.MaxTimestamp = 1, 1
	})
	if answer.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(answer.ErrorCode))
	}
}

// produceRaw produces a batch of one record after change has changed it.
func produceRaw(t *testing.T, b *Broker, change func(*kmsg.RecordBatch)) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	r := kmsg.Record{Key: []byte("k"), Value: []byte("marked")}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	batch := kmsg.RecordBatch{Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: r.AppendTo(nil)}
	change(&batch)
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-batchPrefix))
	binary.BigEndian.PutUint32(raw[atCRC:], crc32.Checksum(raw[atAttributes:], castagnoli))
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = raw
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = testTopic, b.cluster.TopicInfo(testTopic).TopicID, append(topic.Partitions, p)
	request := kmsg.NewProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 1000
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(soon(t), client(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return answer.Topics[0].Partitions[0]
}

func saramaRead(t *testing.T, b *Broker, n int) (messages []*sarama.ConsumerMessage) {
	t.Helper()
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	consumer, err := sarama.NewConsumer([]string{b.Addr()}, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = consumer.Close() }()
	p, err := consumer.ConsumePartition(testTopic, 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	for len(messages) < n {
		select {
		case m := <-p.Messages():
			messages = append(messages, m)
		case <-soon(t).Done():
			t.Fatalf("got %d records, want %d", len(messages), n)
		}
	}
	return messages
}

// The broker rejects a batch that no consumer could read.
func TestUnreadableBatchesAreRefused(t *testing.T) {
	b := start(t, t.TempDir())
	makeTopic(t, client(t, b))
	for name, change := range map[string]func(*kmsg.RecordBatch){
		"garbage":          func(b *kmsg.RecordBatch) { b.Records = []byte("garbage") },
		"gzip of nothing":  func(b *kmsg.RecordBatch) { b.Attributes = 1 },
		"too few records":  func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 2, 1 },
		"too many records": func(b *kmsg.RecordBatch) { b.Records = append(b.Records, b.Records...) },
	} {
		if answer := produceRaw(t, b, change); answer.ErrorCode != kerr.InvalidRecord.Code {
			t.Errorf("%s: got the error code %d, want %d", name, answer.ErrorCode, kerr.InvalidRecord.Code)
		}
	}
	write(t, client(t, b), 0, 1)
	if n := len(read(t, b)); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
}

// A topic with message.timestamp.type CreateTime keeps the producers' timestamps.
func TestProducersTimeIsKeptWhereItIsPromised(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	c := client(t, b)
	makeTopic(t, c, "message.timestamp.type", "CreateTime")
	past := time.Now().Add(-30 * time.Hour).Truncate(time.Millisecond)
	if err := c.ProduceSync(soon(t), &kgo.Record{Value: []byte("x"), Timestamp: past}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	marked(t, b) // the attribute of the batch must not break its checksum
	if err := checkStopped(kill(t, dir)); err != nil {
		t.Error(err)
	}
	if got := read(t, b)[0].Timestamp; !got.Equal(past) {
		t.Errorf("got %v, want %v", got, past)
	}
}

// A topic can switch to the broker's time and back.
func TestTheTimestampTypeChanges(t *testing.T) {
	b := start(t, t.TempDir())
	c := client(t, b)
	makeTopic(t, c)
	past := time.Now().Add(-30 * time.Hour).Truncate(time.Millisecond)
	for i, kind := range []string{"LogAppendTime", "CreateTime", "LogAppendTime"} {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = "message.timestamp.type", &kind
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName, resource.Configs = kmsg.ConfigResourceTypeTopic, testTopic, append(resource.Configs, config)
		request := kmsg.NewIncrementalAlterConfigsRequest()
		request.Resources = append(request.Resources, resource)
		if answer, err := request.RequestWith(soon(t), c); err != nil || answer.Resources[0].ErrorCode != 0 {
			t.Fatalf("got %v, %+v, want the timestamp type changed", err, answer)
		}
		if err := c.ProduceSync(soon(t), &kgo.Record{Value: []byte("x"), Timestamp: past}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if producers := read(t, b)[i].Timestamp.Equal(past); producers != (kind == "CreateTime") {
			t.Errorf("%s: got the producer's time %v, want %v", kind, producers, kind == "CreateTime")
		}
	}
}

// The broker's time never goes back, neither while it runs nor across restarts. The broker does
// not follow a log whose time is far ahead.
func TestTheBrokersTimeNeverGoesBack(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	c := &clock{now: func() time.Time { return now }}
	first := c.time()
	now = now.Add(-time.Minute)
	if second := c.time(); second < first {
		t.Errorf("got the time %d, want at least %d", second, first)
	}
	b, err := Start(t.TempDir(), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for newest, follows := range map[time.Duration]bool{time.Minute: true, 30 * time.Hour: false} {
		at := time.Now().Add(newest).UnixMilli()
		if c := date(b.cluster, at, func() bool { return false }, func() error { return nil }, inprocess.New(false)); (c.time() >= at) != follows {
			t.Errorf("a log that is %v ahead: got followed %v, want %v", newest, !follows, follows)
		}
	}
}
