package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/clusterlite/clusterlite/events"
)

// A Digest stands for the rows of a collection, tombstones included: two collections
// with the same rows have the same digest, in whatever order they were written. It is
// the sum of the SHA-256 hashes of the rows, in four lanes of 64 bits modulo 2⁶⁴, so a
// row that changes costs one subtraction and one addition (AdHash; Bellare and
// Micciancio, EUROCRYPT 1997). It finds accidents, not forgers.
type Digest [4]uint64

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d.bytes()) }

func (d Digest) bytes() []byte {
	b := make([]byte, 0, sha256.Size)
	for _, lane := range d {
		b = binary.BigEndian.AppendUint64(b, lane)
	}
	return b
}

func digestOf(b []byte) (d Digest) {
	for i := range d {
		if len(b) >= 8*(i+1) {
			d[i] = binary.BigEndian.Uint64(b[8*i:])
		}
	}
	return d
}

func (d *Digest) add(row Digest) {
	for i := range d {
		d[i] += row[i]
	}
}

func (d *Digest) subtract(row Digest) {
	for i := range d {
		d[i] -= row[i]
	}
}

// A Summary sums up one collection at the projection's position.
type Summary struct {
	// Living is how many entities live.
	Living int64
	// Digest stands for all rows, tombstones included.
	Digest Digest
}

// rowDigest hashes one entity as it is stored. Each part goes in with its length, so
// that no two rows give the same bytes. scratch is reused between calls.
func rowDigest(e events.Entity, claims string, scratch *[]byte) Digest {
	b := (*scratch)[:0]
	kind := byte('e')
	if e.Deleted {
		kind = 't'
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Version))
	for _, part := range [...]string{e.ID, e.CreatedAt, e.UpdatedAt, claims} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	b = append(b, e.Rendered...)
	*scratch = b
	sum := sha256.Sum256(b)
	return digestOf(sum[:])
}
