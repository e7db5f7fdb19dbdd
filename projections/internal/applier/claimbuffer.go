package applier

import (
	"fmt"
	"maps"
	"slices"

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
	changed changedClaims
	count   int
	limit   int
	written bool // the file may hold claims
}

func newClaimBuffer(limit int) *claimBuffer {
	return &claimBuffer{limit: limit, changed: changedClaims{}}
}

// holder returns who holds a claim, according to the buffer. known is false if the buffer does not
// know. An empty holder means that no entity holds the claim.
func (b *claimBuffer) holder(collection string, claim []byte) (holder string, known bool) {
	holder, known = b.changed.find(collection, claim)
	return holder, known || !b.written
}

// change records a change.
func (b *claimBuffer) change(c claimChange) {
	before := len(b.changed[c.collection])
	key, holder := newPackedClaim(c.claim), newClaimHolder(c.holder)
	if holder.fresh = !b.written; holder.fresh && !holder.held {
		delete(b.changed[c.collection], key)
	} else {
		b.changed.set(c.collection, key, holder)
	}
	b.count += len(b.changed[c.collection]) - before
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

func (b *claimBuffer) write(conn connection, collection string) error {
	changed := b.changed[collection]
	if err := b.changed.write(conn, collection, slices.SortedFunc(maps.Keys(changed), packedClaim.compare)); err != nil {
		return err
	}
	clear(changed)
	return nil
}
