package applier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/mattn/go-sqlite3"

	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/readmodel"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

const (
	// MaxRecentClaims is the number of changes of claims after which a file that serves starts to move
	// its recent claims to the table of claims. They take 6 to 7 MiB of memory.
	MaxRecentClaims = 1 << 16
	// deletedRows is the number of rows of _recent_claims that a batch deletes besides two for each
	// that it adds, if there are so many to be deleted.
	deletedRows = 16
	// hurried is the maximum number of batches in which all listed claims move once there are too many.
	// Old rows are deleted at the same pace.
	hurried = 32
)

// RecentClaims are the recently changed claims of a file that serves. The table of claims lacks
// their changes. Claims are in no particular order, so a batch that wrote them into the table would
// change a page for each. Instead, it appends them to the table _recent_claims, a row for each
// collection, and they stay in memory. Once there are many, they move to the table of claims, some
// in each batch and in the order of the table, so that neighbours share a page:
//
//  1. A move starts with a list of all claims in memory. Each batch moves twice as many of them as it
//     changes. Progress is not stored, so the move starts over after a restart, with more claims than
//     usual. It then moves more claims in each batch, so that it finishes before the next restart.
//  2. A claim that moves is written to the table as it was before the batch. If it changes again, the
//     later row of _recent_claims records that, and so does the memory.
//  3. Once all listed claims have moved, the rows of _recent_claims that existed when the list was made
//     are deleted, some in each batch.
//
// So the last row of _recent_claims that has a claim says who holds it, and without such a row, the
// table of claims does. A claim of these rows may be missing from memory only if the table already agrees
// with the last of them.
//
// The writer's goroutine alone changes it. Holder and Each are safe for concurrent use.
type RecentClaims struct {
	path          string
	limit, atOnce int // see Keep

	mu      sync.RWMutex // held for writing when changed is written to, and for reading by other goroutines
	changed changedClaims

	first, next int64 // the number of the oldest row of _recent_claims, and the next to be used
	logged      int   // the number of changes in the rows, without those that can be deleted

	moving []movingClaims // in the order of the table
	pace   int            // how many of them a batch moves when there are too many
	// Rows of _recent_claims below the number listed, with listedChanges changes, can be deleted when
	// all of moving have moved, and those below trim can be deleted already.
	listed        int64
	listedChanges int
	trim          int64

	batch recentBatch
}

// movingClaims are claims of a collection that begin with the same byte.
type movingClaims struct {
	collection string
	claims     []packedClaim
	sorted     bool
}

// A recentBatch is what a batch has written to the file, until it is committed.
type recentBatch struct {
	changes []claimChange
	moved   []movingClaims
	deleted int64 // rows of _recent_claims below this number
}

// NewRecentClaims returns the recent claims of the file with a path. They have to be loaded.
func NewRecentClaims(path string) *RecentClaims {
	return &RecentClaims{path: path, limit: MaxRecentClaims, atOnce: claimsAtOnce}
}

// Keep sets the number of changes after which claims start to move to their table, and how many a
// batch moves at least.
func (r *RecentClaims) Keep(limit, atOnce int) { r.limit, r.atOnce = limit, atOnce }

// Holder returns the entity that holds a packed claim. known is false if the claim has not changed
// recently, so that the table of claims has to be asked, after this call. An empty holder
// means that no entity holds the claim. It takes into account every batch for which Apply has returned.
func (r *RecentClaims) Holder(collection string, claim []byte) (holder string, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.changed.find(collection, claim)
}

// Each calls add for all recently changed claims that an entity holds.
func (r *RecentClaims) Each(add func(collection string, claim []byte)) {
	held := map[string][]packedClaim{}
	r.mu.RLock()
	for collection, of := range r.changed {
		for claim, holder := range of {
			if holder.held {
				held[collection] = append(held[collection], claim)
			}
		}
	}
	r.mu.RUnlock() // add takes longer than this, and the writer must not wait for it
	for collection, claims := range held {
		for _, claim := range claims {
			add(collection, claim.bytes())
		}
	}
}

// load reads the recent claims of a file. The file says what is in memory, so it also undoes what a
// batch that failed had changed.
func (r *RecentClaims) load(ctx context.Context, tx readmodel.Tx) error {
	changed := changedClaims{}
	logged := 0
	first, last, err := rowformat.EachRecentClaim(ctx, tx, func(collection string, claim, id []byte) {
		changed.set(collection, newPackedClaim(claim), newClaimHolder(id))
		logged++
	})
	if err != nil {
		return storagefault.UnreadableRow(r.path, fmt.Errorf("read the recent claims: %w", err))
	}
	clear(r.batch.changes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed, r.logged, r.first, r.next = changed, logged, first, last+1
	r.moving, r.listed, r.trim, r.batch = nil, 0, 0, recentBatch{}
	return nil
}

// write writes the changes of a batch, which are sorted by collection, and moves claims that are due.
// The changes count once the batch is committed. Until then, they stay in use.
func (r *RecentClaims) write(conn connection, changes []claimChange) error {
	before := r.next
	if err := r.append(conn, changes); err != nil {
		return fmt.Errorf("write the recent claims: %w", err)
	}
	r.batch = recentBatch{changes: changes, deleted: r.first}
	if r.listed == 0 && r.logged >= r.limit {
		r.list(before)
	}
	r.logged += len(changes)
	if r.listed > 0 {
		n := max(2*len(changes), r.atOnce)
		if most := 2 * max(r.limit, 1); r.logged > most {
			n = max(n, r.pace*(r.logged/most))
		}
		if err := r.move(conn, n); err != nil {
			return err
		}
	}
	if err := r.deleteOld(conn, r.next-before); err != nil {
		return fmt.Errorf("delete old rows of the recent claims: %w", err)
	}
	return nil
}

// append adds a row to _recent_claims for each collection whose claims changed.
func (r *RecentClaims) append(conn connection, changes []claimChange) error {
	for len(changes) > 0 {
		row := rowformat.RecentRow{Number: r.next, Collection: changes[0].collection}
		n := 0
		for ; n < len(changes) && changes[n].collection == row.Collection; n++ {
			if c := changes[n]; c.holder == nil {
				row.Release(c.claim)
			} else {
				row.Hold(c.claim, c.holder)
			}
		}
		if err := conn.exec(`INSERT INTO _recent_claims (number, collection, held, released) VALUES (?, ?, ?, ?)`,
			row.Number, row.Collection, row.Held, row.Released); err != nil {
			return err
		}
		r.next++
		changes = changes[n:]
	}
	return nil
}

// list lists all claims in memory, to be moved. It only groups them by their first byte. move sorts each
// group, because to sort all of them at once would take as long as a batch. below is the number after the
// last row that has one of them.
func (r *RecentClaims) list(below int64) {
	r.listed, r.listedChanges = below, r.logged
	all := 0
	for _, collection := range slices.Sorted(maps.Keys(r.changed)) {
		var parts [256][]packedClaim
		for claim := range r.changed[collection] {
			first := claim[0] >> 56
			parts[first] = append(parts[first], claim)
		}
		for _, claims := range parts {
			if len(claims) > 0 {
				r.moving = append(r.moving, movingClaims{collection: collection, claims: claims})
				all += len(claims)
			}
		}
	}
	r.pace = all/hurried + 1
}

// move writes the next n of the listed claims to the table of claims.
func (r *RecentClaims) move(conn connection, n int) error {
	for n > 0 && len(r.moving) > 0 {
		part := &r.moving[0]
		if !part.sorted {
			slices.SortFunc(part.claims, packedClaim.compare)
			part.sorted = true
		}
		some := movingClaims{collection: part.collection, claims: part.claims[:min(n, len(part.claims))]}
		if err := r.changed.write(conn, some.collection, some.claims); err != nil {
			return fmt.Errorf("write claims of %s: %w", some.collection, r.damaged(err))
		}
		r.batch.moved = append(r.batch.moved, some)
		n -= len(some.claims)
		if part.claims = part.claims[len(some.claims):]; len(part.claims) == 0 {
			r.moving = r.moving[1:]
		}
	}
	if len(r.moving) == 0 {
		r.trim, r.logged = r.listed, r.logged-r.listedChanges
		r.moving, r.listed = nil, 0
	}
	return nil
}

// damaged turns the violation of the table's key into a damage of the file. It means that an entity
// held a claim that another one got, because the filter of claims or the memory was wrong. After a restart or a
// batch that failed, it is not known which claims were free, and only an audit finds that.
func (r *RecentClaims) damaged(err error) error {
	var failed sqlite3.Error
	if errors.As(err, &failed) && failed.Code == sqlite3.ErrConstraint {
		return &storagefault.Error{Fault: storagefault.Corrupt, Path: r.path, Err: fmt.Errorf("two entities hold a claim: %w", err)}
	}
	return err
}

// deleteOld deletes rows of _recent_claims that are no longer needed: each of their claims has moved or
// is in a later row.
func (r *RecentClaims) deleteOld(conn connection, added int64) error {
	if r.first >= r.trim {
		return nil
	}
	r.batch.deleted = min(r.trim, r.first+max(deletedRows+2*added, (r.trim-r.first)/hurried))
	return conn.exec(`DELETE FROM _recent_claims WHERE number < ?`, r.batch.deleted)
}

// moved returns the number of claims that the batch has moved.
func (r *RecentClaims) moved() (n int) {
	for _, some := range r.batch.moved {
		n += len(some.claims)
	}
	return n
}

// committed makes the changes of the batch count.
func (r *RecentClaims) committed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, some := range r.batch.moved {
		of := r.changed[some.collection]
		for _, claim := range some.claims {
			delete(of, claim)
		}
	}
	for _, c := range r.batch.changes {
		claim, holder := newPackedClaim(c.claim), newClaimHolder(c.holder)
		if before, known := r.changed[c.collection][claim]; known {
			holder.fresh = before.fresh
		} else {
			holder.fresh = !c.wasHeld
		}
		r.changed.set(c.collection, claim, holder)
	}
	clear(r.batch.changes)                  // they keep the events in memory
	r.first = max(r.first, r.batch.deleted) // the batch may have written nothing
	r.batch = recentBatch{}
}
