package applier

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

const (
	// MaxBufferedClaims is the number of changed claims that the writer of a private file keeps in
	// memory by default. They take about 60 MiB.
	MaxBufferedClaims = 1 << 20
	// bufferedFilter is the number of claims for which the filter of a private file has room. It
	// takes 8 MiB. With more claims, more lookups find nothing.
	bufferedFilter = 4 << 20
)

// A claimBuffer holds changes of claims that are not in the file yet. The file is private: nothing
// else reads it, and a crash leaves nothing of it. Claims are in no particular order, so each one
// changes a page of its own. The buffer writes very many of them at once, in the order of the
// table. One goroutine uses it.
type claimBuffer struct {
	changed map[string]map[packedClaim]bufferedHolder // by collection
	count   int
	limit   int
	written bool // the file may hold claims
}

func newClaimBuffer(limit int) *claimBuffer {
	return &claimBuffer{limit: limit, changed: map[string]map[packedClaim]bufferedHolder{}}
}

// A packedClaim is the result of [rowformat.PackClaim] as two big-endian numbers, so it sorts as
// the bytes do.
type packedClaim [2]uint64

// A bufferedHolder is the packed id of the entity that holds a claim, if one holds it.
type bufferedHolder struct {
	id   [16]byte
	held bool
}

func newPackedClaim(claim []byte) packedClaim {
	return packedClaim{binary.BigEndian.Uint64(claim), binary.BigEndian.Uint64(claim[8:])}
}

func (c packedClaim) bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), c[0]), c[1])
}

func (c packedClaim) compare(other packedClaim) int {
	a, b := c[0], other[0]
	if a == b {
		a, b = c[1], other[1]
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// holder returns who holds a claim, according to the buffer. known is false if the buffer does not
// know. An empty holder means that no entity holds the claim.
func (b *claimBuffer) holder(collection string, claim []byte) (holder string, known bool) {
	h, known := b.changed[collection][newPackedClaim(claim)]
	if !h.held {
		return "", known || !b.written
	}
	return rowformat.FormatID(h.id[:]), true
}

// change records a change.
func (b *claimBuffer) change(c claimChange) {
	of := b.changed[c.collection]
	if of == nil {
		of = map[packedClaim]bufferedHolder{}
		b.changed[c.collection] = of
	}
	before := len(of)
	key := newPackedClaim(c.claim)
	switch {
	case c.holder != nil:
		of[key] = bufferedHolder{[16]byte(c.holder), true}
	case b.written:
		of[key] = bufferedHolder{}
	default:
		delete(of, key)
	}
	b.count += len(of) - before
}

// writeBuffered writes all buffered claims, and empties the buffer.
func (m *Entities) writeBuffered(tx readmodel.Tx) error {
	return m.direct.on(tx, func(conn connection) error {
		for _, collection := range slices.Sorted(maps.Keys(m.buffer.changed)) {
			if err := m.buffer.write(conn, collection); err != nil {
				return fmt.Errorf("write claims of %s: %w", collection, err)
			}
		}
		m.buffer.count, m.buffer.written = 0, true
		return nil
	})
}

// claimsAtOnce is the number of claims that one statement writes.
const claimsAtOnce = 32

// manyClaims returns a statement like insertClaim or replaceClaim for claimsAtOnce claims of a collection.
func manyClaims(one string) string {
	before, _, _ := strings.Cut(one, "(?")
	rows := make([]string, claimsAtOnce)
	for i := range rows {
		rows[i] = fmt.Sprintf("(?1, ?%d, ?%d)", 2*i+2, 2*i+3)
	}
	return before + strings.Join(rows, ", ")
}

var insertClaims, replaceClaims = manyClaims(insertClaim), manyClaims(replaceClaim)

func (b *claimBuffer) write(conn connection, collection string) error {
	changed := b.changed[collection]
	rows := newClaimRows(conn, collection, insertClaim, insertClaims)
	if b.written {
		rows = newClaimRows(conn, collection, replaceClaim, replaceClaims)
	}
	for _, claim := range slices.SortedFunc(maps.Keys(changed), packedClaim.compare) {
		holder := changed[claim]
		var err error
		if holder.held {
			err = rows.add(claim.bytes(), holder.id[:])
		} else {
			err = conn.exec(deleteClaim, collection, claim.bytes())
		}
		if err != nil {
			return err
		}
	}
	if err := rows.flush(); err != nil {
		return err
	}
	clear(changed)
	return nil
}
