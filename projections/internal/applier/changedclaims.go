package applier

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
)

// changedClaims are claims whose changes the table of claims lacks, by collection.
type changedClaims map[string]map[packedClaim]claimHolder

// A claimHolder is the packed id of the entity that holds a claim, if one holds it.
type claimHolder struct {
	id   [16]byte
	held bool
	// fresh means that the table of claims has no row for the claim.
	fresh bool
}

// newClaimHolder returns the holder with a packed id, or none for nil.
func newClaimHolder(id []byte) claimHolder {
	h := claimHolder{held: id != nil}
	copy(h.id[:], id)
	return h
}

// A packedClaim is the result of [rowformat.PackClaim] as two big-endian numbers, so it sorts as
// the bytes do.
type packedClaim [2]uint64

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

// set records who holds a claim.
func (c changedClaims) set(collection string, claim packedClaim, holder claimHolder) {
	of := c[collection]
	if of == nil {
		of = map[packedClaim]claimHolder{}
		c[collection] = of
	}
	of[claim] = holder
}

// find returns the entity that holds a packed claim. known is false if the claim has not changed. An
// empty holder means that no entity holds the claim.
func (c changedClaims) find(collection string, claim []byte) (holder string, known bool) {
	h, known := c[collection][newPackedClaim(claim)]
	if !h.held {
		return "", known
	}
	return rowformat.FormatID(h.id[:]), true
}

// write writes some of the changed claims of a collection to the table of claims, in the given order.
func (c changedClaims) write(conn connection, collection string, claims []packedClaim) error {
	inserted := newClaimRows(conn, collection, insertClaim, insertClaims)
	replaced := newClaimRows(conn, collection, replaceClaim, replaceClaims)
	of := c[collection]
	for _, claim := range claims {
		holder := of[claim]
		var err error
		switch {
		case holder.held && holder.fresh:
			err = inserted.add(claim.bytes(), holder.id[:])
		case holder.held:
			err = replaced.add(claim.bytes(), holder.id[:])
		case !holder.fresh:
			err = conn.exec(deleteClaim, collection, claim.bytes())
		}
		if err != nil {
			return err
		}
	}
	if err := inserted.flush(); err != nil {
		return err
	}
	return replaced.flush()
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

// claimRows are rows of the table of claims that a statement writes together.
type claimRows struct {
	conn      connection
	one, many string
	args      []driver.Value
}

func newClaimRows(conn connection, collection, one, many string) *claimRows {
	rows := &claimRows{conn: conn, one: one, many: many, args: make([]driver.Value, 1, 1+2*claimsAtOnce)}
	rows.args[0] = collection
	return rows
}

// add adds a row, and writes the rows if there are enough of them.
func (r *claimRows) add(claim, id []byte) error {
	if r.args = append(r.args, claim, id); len(r.args) < cap(r.args) {
		return nil
	}
	args := r.args
	r.args = r.args[:1]
	return r.conn.exec(r.many, args...)
}

// flush writes the remaining rows.
func (r *claimRows) flush() error {
	for rest := r.args[1:]; len(rest) > 0; rest = rest[2:] {
		if err := r.conn.exec(r.one, r.args[0], rest[0], rest[1]); err != nil {
			return err
		}
	}
	r.args = r.args[:1]
	return nil
}
