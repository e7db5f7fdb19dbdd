package rowformat

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// A row of _recent_claims holds what one batch changed in the claims of a collection: the claims
// that entities hold since then, each followed by the packed id of its holder, and the claims that
// no entity holds any more. Claims are packed as well.
const (
	claimBytes = 16
	heldBytes  = 2 * claimBytes
)

// A RecentRow is a row of _recent_claims.
type RecentRow struct {
	// Number grows with time. The last row that has a claim says who holds it.
	Number     int64
	Collection string
	Held       []byte
	Released   []byte
}

// Hold adds a claim and the packed id of its holder.
func (r *RecentRow) Hold(claim, id []byte) { r.Held = append(append(r.Held, claim...), id...) }

// Release adds a claim that no entity holds.
func (r *RecentRow) Release(claim []byte) { r.Released = append(r.Released, claim...) }

// each calls changed for each claim. id is nil if no entity holds the claim.
func (r *RecentRow) each(changed func(collection string, claim, id []byte)) error {
	if len(r.Held)%heldBytes != 0 || len(r.Released)%claimBytes != 0 {
		return fmt.Errorf("row %d of the recent claims is incomplete", r.Number)
	}
	for held := r.Held; len(held) > 0; held = held[heldBytes:] {
		changed(r.Collection, held[:claimBytes], held[claimBytes:heldBytes])
	}
	for released := r.Released; len(released) > 0; released = released[claimBytes:] {
		changed(r.Collection, released[:claimBytes], nil)
	}
	return nil
}

// EachRecentClaim calls changed for each claim in _recent_claims, oldest first, so the last call for
// a claim says who holds it. id is the packed id of the holder, or nil if no entity holds the claim.
// The slices are valid only during the call. It returns the numbers of the first and of the last row,
// or 1 and 0 without a row. Files of version 2 have no such table.
func EachRecentClaim(ctx context.Context, q sqlx.QueryerContext, changed func(collection string, claim, id []byte)) (first, last int64, err error) {
	var tables int
	if err := sqlx.GetContext(ctx, q, &tables, `SELECT count(*) FROM sqlite_schema WHERE name = '_recent_claims'`); err != nil || tables == 0 {
		return 1, 0, err
	}
	rows, err := q.QueryContext(ctx, `SELECT number, collection, held, released FROM _recent_claims ORDER BY number`)
	if err != nil {
		return 1, 0, err
	}
	defer func() { _ = rows.Close() }()
	first = 1
	for rows.Next() {
		var r RecentRow
		if err := rows.Scan(&r.Number, &r.Collection, (*sql.RawBytes)(&r.Held), (*sql.RawBytes)(&r.Released)); err != nil {
			return 1, 0, err
		}
		if err := r.each(changed); err != nil {
			return 1, 0, err
		}
		if last == 0 {
			first = r.Number
		}
		last = r.Number
	}
	return first, last, rows.Err()
}
