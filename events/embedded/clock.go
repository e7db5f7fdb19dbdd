package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
)

// maxAhead is how far the log may be ahead of the machine's clock. If it is further ahead, a
// producer's clock dated its last record, as older versions allowed, and the broker ignores that
// time.
const maxAhead = time.Hour

// A clock gives records the broker's time. kfake accepts message.timestamp.type but ignores it:
// records keep the time of their producer's clock. So the clock dates each batch for a topic with
// LogAppendTime before kfake sees it.
//
// The clock does not mark the batch as LogAppendTime. In a marked batch kfake would write another
// time without updating the checksum, which would make the batch unreadable.
type clock struct {
	cluster *kfake.Cluster
	now     func() time.Time

	mu   sync.Mutex
	last int64 // in milliseconds since 1970
	past *kmsg.ProduceRequest
	// brokers caches which topics get the broker's time, because asking kfake costs as much as
	// the rest of a write.
	brokers map[topicKey]bool
}

// topicKey identifies a topic in a request, which contains either its name or its id.
type topicKey struct {
	name string
	id   [16]byte
}

// date creates a clock that dates all records that the cluster accepts from now on. newest is the
// time of the newest record in the log, in milliseconds since 1970. Before each request is handled,
// date calls changed, which reports whether topics may have changed, and durable, which returns
// once all records that were written before are on disk. A batch is written only then, so that a
// power loss tears no more than one batch. The requests of appenders get their batches here.
func date(cluster *kfake.Cluster, newest int64, changed func() bool, durable func() error, appenders *inprocess.Appenders) *clock {
	c := &clock{cluster: cluster, now: time.Now, brokers: map[topicKey]bool{}}
	if newest <= time.Now().Add(maxAhead).UnixMilli() {
		c.last = newest
	}
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		request, ok := r.(*kmsg.ProduceRequest)
		if !ok {
			return nil, nil, false
		}
		cluster.KeepControl()
		appender := appenders.Of(request)
		if appender == nil || !appenders.Synced() {
			if durable() != nil {
				return rejection(request, kerr.KafkaStorageError, "The broker could not sync its log. Nothing in the request was stored."), nil, true
			}
			appenders.NoteSync()
		}
		if changed() {
			c.forget()
		}
		c.release(request)
		var response kmsg.Response
		if appender != nil {
			appenders.Appending(appender)
			response = appender.Fill(request, c.time())
		} else {
			appenders.Changed(request)
			response = c.produce(request)
		}
		return response, nil, response != nil
	})
	return c
}

// time returns the broker's time. It never goes back, even if the machine's clock does.
func (c *clock) time() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, c.now().UnixMilli())
	return c.last
}

// produce dates the batches of a request. If a batch is unreadable, produce returns the response
// that rejects the request, and the broker stores nothing of it.
func (c *clock) produce(request *kmsg.ProduceRequest) kmsg.Response {
	refused := false
	for i := range request.Topics {
		t := &request.Topics[i]
		brokersTime := c.dates(t)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			dated, err := redate(p.Records, brokersTime, c.time())
			if err != nil {
				refused = true
				continue
			}
			p.Records = dated
		}
	}
	if !refused {
		return nil
	}
	return rejection(request, kerr.InvalidRecord, "A record batch in this request is unreadable. Nothing in the request was stored.")
}

// release frees the records of the previous request. That request is finished, but kfake keeps
// the last request of each connection, open or closed, for as long as it runs.
func (c *clock) release(request *kmsg.ProduceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.past != nil && c.past != request {
		c.past.Topics = nil
	}
	c.past = request
}

// dates reports whether the records of a topic get the broker's time.
func (c *clock) dates(t *kmsg.ProduceRequestTopic) bool {
	key := topicKey{t.Topic, t.TopicID}
	c.mu.Lock()
	brokers, known := c.brokers[key]
	c.mu.Unlock()
	if known {
		return brokers
	}
	var info *kfake.TopicInfo
	if t.Topic != "" {
		info = c.cluster.TopicInfo(t.Topic)
	} else {
		info = c.cluster.TopicIDInfo(t.TopicID)
	}
	if info == nil {
		return false // kfake rejects it
	}
	kind := info.Configs["message.timestamp.type"]
	brokers = kind != nil && *kind == "LogAppendTime"
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brokers[key] = brokers
	return brokers
}

// forget clears the cache of topics.
func (c *clock) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.brokers)
}

// rejection returns the response that explains why the broker stored nothing of a request.
func rejection(request *kmsg.ProduceRequest, reason *kerr.Error, detail string) kmsg.Response {
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range request.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.BaseOffset, rp.LogStartOffset = p.Partition, reason.Code, -1, -1
			rp.ErrorMessage = &detail
			rt.Partitions = append(rt.Partitions, rp)
		}
		response.Topics = append(response.Topics, rt)
	}
	return response
}

var (
	errUnreadable = errors.New("the batch is unreadable")
	decompressor  = kgo.DefaultDecompressor()
	codecs        = map[kgo.CompressionCodecType]kgo.CompressionCodec{
		kgo.CodecGzip: kgo.GzipCompression(), kgo.CodecSnappy: kgo.SnappyCompression(),
		kgo.CodecLz4: kgo.Lz4Compression(), kgo.CodecZstd: kgo.ZstdCompression(),
	}
)

// redate returns the batch with a new time. If brokersTime is set, all records get the time now,
// in milliseconds since 1970; otherwise they keep theirs. In both cases the batch is not marked
// as LogAppendTime. redate returns a batch that kfake will reject unchanged. An error means that
// the batch is whole, but no client could read its records.
func redate(batch []byte, brokersTime bool, now int64) ([]byte, error) {
	var b kmsg.RecordBatch
	if len(batch) < batchHeader || b.ReadFrom(batch) != nil || b.Magic != 2 || int(b.Length) != len(batch)-batchPrefix || !intact(batch) {
		return batch, nil
	}
	if !brokersTime && b.Attributes&attributeLogAppendTime == 0 {
		return batch, nil
	}
	b.Attributes &^= attributeLogAppendTime
	if brokersTime {
		records, err := undelta(b)
		if err != nil {
			return nil, err
		}
		b.Records, b.FirstTimestamp, b.MaxTimestamp = records, now, now
	}
	out := b.AppendTo(make([]byte, 0, len(batch)+64))
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-batchPrefix))
	binary.BigEndian.PutUint32(out[atCRC:], crc32.Checksum(out[atAttributes:], castagnoli))
	return out, nil
}

// undelta returns the records of a batch with all time deltas set to zero, so that each record has
// the batch's first time. The compression stays the same.
func undelta(b kmsg.RecordBatch) ([]byte, error) {
	codec := kgo.CompressionCodecType(b.Attributes & attributeCodec)
	raw, err := decompressor.Decompress(b.Records, codec)
	if err != nil {
		return nil, errUnreadable
	}
	out, changed := make([]byte, 0, len(raw)), false
	var r kmsg.Record // its headers are reused, and its strings are not kept
	for n := range b.NumRecords {
		length, prefix := binary.Varint(raw)
		if prefix <= 0 || length < 0 || length > int64(len(raw)-prefix) {
			return nil, errUnreadable
		}
		whole := prefix + int(length)
		if err := r.UnsafeReadFrom(raw[:whole]); err != nil || r.OffsetDelta != n {
			return nil, errUnreadable
		}
		if r.TimestampDelta64 == 0 {
			out = append(out, raw[:whole]...)
		} else {
			changed = true
			_, delta := binary.Varint(raw[prefix+1:]) // after the attributes
			rest := raw[prefix+1+delta : whole]
			out = binary.AppendVarint(out, int64(2+len(rest)))
			out = append(append(out, raw[prefix], 0), rest...)
		}
		raw = raw[whole:]
	}
	switch {
	case len(raw) > 0:
		return nil, errUnreadable
	case !changed:
		return b.Records, nil
	case codec == kgo.CodecNone:
		return out, nil
	}
	compressor, err := kgo.DefaultCompressor(codecs[codec])
	if err != nil {
		return nil, errUnreadable
	}
	var into bytes.Buffer
	packed, used := compressor.Compress(&into, out)
	if used != codec {
		return nil, errUnreadable
	}
	return bytes.Clone(packed), nil
}
