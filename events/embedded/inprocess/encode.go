package inprocess

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The positions of two fields of a record batch, and the size of all of its fields.
const (
	atLength    = 8
	atCRC       = 17
	batchHeader = 61
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeBatch returns a record batch, version 2, without compression and without a producer's id.
// All records have the same time, in milliseconds since 1970.
func encodeBatch(records []*kgo.Record, now int64) []byte {
	sizes, total := make([]int, len(records)), batchHeader
	for i, r := range records {
		sizes[i] = bodySize(r, i)
		total += binary.MaxVarintLen32 + sizes[i]
	}
	header := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, // the broker sets it
		Magic:                2,
		LastOffsetDelta:      int32(len(records) - 1),
		FirstTimestamp:       now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(len(records)),
	}
	b := header.AppendTo(make([]byte, 0, total))
	for i, r := range records {
		b = appendRecord(b, r, i, sizes[i])
	}
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-atLength-4)) // the length of what follows it
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atCRC+4:], castagnoli))
	return b
}

func bodySize(r *kgo.Record, delta int) int {
	n := 2 + varintSize(delta) + bytesSize(r.Key) + bytesSize(r.Value) + varintSize(len(r.Headers))
	for _, h := range r.Headers {
		n += varintSize(len(h.Key)) + len(h.Key) + bytesSize(h.Value)
	}
	return n
}

func appendRecord(b []byte, r *kgo.Record, delta, size int) []byte {
	b = binary.AppendVarint(b, int64(size))
	b = append(b, 0, 0) // attributes, and the difference to the batch's time
	b = binary.AppendVarint(b, int64(delta))
	b = appendBytes(b, r.Key)
	b = appendBytes(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for _, h := range r.Headers {
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendBytes(b, h.Value)
	}
	return b
}

// appendBytes appends the length and the bytes. The length of nil is -1.
func appendBytes(b, value []byte) []byte {
	if value == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(value))), value...)
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(len(b)) + len(b)
}

// varintSize returns the size of a number that is not negative.
func varintSize(n int) (size int) {
	for size = 1; n >= 1<<6; n >>= 7 {
		size++
	}
	return size
}
