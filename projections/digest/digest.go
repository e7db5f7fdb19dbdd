// Package digest computes digests of collections. Two read models at the same position of the
// log have equal digests if they hold the same rows, and almost certainly differ in them
// otherwise.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/clusterlite/clusterlite/events"
)

// A Sum stands for the rows of a collection, including tombstones. Two collections with the
// same rows have the same Sum, in whatever order the rows were written. It is the sum of the
// SHA-256 hashes of the rows, in four lanes of 64 bits modulo 2⁶⁴, so a changed row costs
// one subtraction and one addition (AdHash; Bellare and Micciancio, EUROCRYPT 1997). It detects
// accidents, not forgery.
type Sum [4]uint64

// String returns the sum in hexadecimal.
func (d Sum) String() string { return hex.EncodeToString(d.Bytes()) }

// Bytes returns the sum as 32 bytes.
func (d Sum) Bytes() []byte {
	b := make([]byte, 0, sha256.Size)
	for _, lane := range d {
		b = binary.BigEndian.AppendUint64(b, lane)
	}
	return b
}

// FromBytes is the reverse of Bytes. It ignores incomplete lanes.
func FromBytes(b []byte) (d Sum) {
	for i := range d {
		if len(b) >= 8*(i+1) {
			d[i] = binary.BigEndian.Uint64(b[8*i:])
		}
	}
	return d
}

// Add adds a row.
func (d *Sum) Add(row Sum) {
	for i := range d {
		d[i] += row[i]
	}
}

// Subtract removes a row.
func (d *Sum) Subtract(row Sum) {
	for i := range d {
		d[i] -= row[i]
	}
}

// A Summary summarises one collection at the projection's position.
type Summary struct {
	// Living is the number of living entities.
	Living int64
	// Digest covers all rows, including tombstones.
	Digest Sum
}

// OfRow hashes one entity as it is stored. Each part is preceded by its length, so that no two
// rows produce the same bytes. scratch is reused between calls.
func OfRow(e events.Entity, claims string, scratch *[]byte) Sum {
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
	return FromBytes(sum[:])
}

// Differing returns the names of the collections whose summaries differ, sorted.
func Differing(a, b map[string]Summary) (names []string) {
	for _, one := range []map[string]Summary{a, b} {
		for name := range one {
			if a[name] != b[name] {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
