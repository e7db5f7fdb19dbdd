package embedded

import (
	"encoding/binary"
	"hash/crc32"
)

// The layout of a record batch, version 2, as Kafka's protocol defines it. All numbers are
// big-endian. The checksum covers what follows it. The fields before it are checked one by one.
const (
	batchPrefix = 12 // the base offset and the length, which counts what follows them
	batchHeader = 61 // up to the number of records

	atEpoch      = 12
	atMagic      = 16
	atCRC        = 17
	atAttributes = 21
	atLastDelta  = 23
	atFirstTime  = 27
	atMaxTime    = 35
	atRecords    = 57

	attributeCodec         = 0x07
	attributeLogAppendTime = 0x08
	attributeTransactional = 0x10
	attributeControl       = 0x20

	// maxBatch is larger than any batch that a broker accepts (max.message.bytes of a topic).
	// It limits the memory that a damaged length can make the check allocate.
	maxBatch = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header has the fields of a batch that the check needs.
type header struct {
	base, length           int64 // length is that of the whole batch
	epoch, lastDelta       int32
	records                int32
	firstTime, maxTime     int64 // in milliseconds since 1970
	attributes             uint16
	magic                  byte
	transactional, control bool
}

// parseHeader reads the first batchHeader bytes of a batch.
func parseHeader(b []byte) header {
	h := header{
		base:       int64(binary.BigEndian.Uint64(b)),
		length:     batchPrefix + int64(int32(binary.BigEndian.Uint32(b[8:]))),
		epoch:      int32(binary.BigEndian.Uint32(b[atEpoch:])),
		magic:      b[atMagic],
		attributes: binary.BigEndian.Uint16(b[atAttributes:]),
		lastDelta:  int32(binary.BigEndian.Uint32(b[atLastDelta:])),
		firstTime:  int64(binary.BigEndian.Uint64(b[atFirstTime:])),
		maxTime:    int64(binary.BigEndian.Uint64(b[atMaxTime:])),
		records:    int32(binary.BigEndian.Uint32(b[atRecords:])),
	}
	h.transactional, h.control = h.attributes&attributeTransactional != 0, h.attributes&attributeControl != 0
	return h
}

// next returns the offset after the batch.
func (h header) next() int64 { return h.base + int64(h.lastDelta) + 1 }

// intact reports whether the checksum of a whole batch is correct.
func intact(batch []byte) bool {
	return crc32.Checksum(batch[atAttributes:], castagnoli) == binary.BigEndian.Uint32(batch[atCRC:])
}

// Each entry of a segment's index describes one batch: a version, the low byte of a checksum,
// the batch's epoch, a time that the broker recomputes, and whether a transaction wrote the
// batch.
const (
	indexEntry   = 15
	indexVersion = 1
)

// indexed returns the entry for a batch. Its time is zero, because the broker ignores it.
func indexed(h header) []byte {
	e := make([]byte, indexEntry)
	e[0] = indexVersion
	binary.LittleEndian.PutUint32(e[2:], uint32(h.epoch))
	if h.transactional && !h.control {
		e[14] = 1
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli))
	return e
}

// indexes reports whether an entry is valid and describes a batch like h. An entry without the
// flag of a transaction matches too, because compaction clears the flag once the transaction is
// finished.
func indexes(e []byte, h header) bool {
	return validEntry(e) &&
		epochOf(e) == h.epoch &&
		(e[14] == 0 || h.transactional && !h.control)
}

func epochOf(e []byte) int32 { return int32(binary.LittleEndian.Uint32(e[2:])) }

func validEntry(e []byte) bool {
	return e[0] == indexVersion && e[14] <= 1 && byte(crc32.Checksum(e[2:], castagnoli)) == e[1]
}
