package rowformat

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"strings"

	"github.com/jmoiron/sqlx"
)

// ClaimBytes is the length of a packed claim.
const ClaimBytes = 16

// PackClaim returns the bytes that stand for a claim in the table of claims: the first 128 bits
// of its SHA-256. A claim itself consists of a field and 128 bits of a SHA-256 (see
// collections.Collection.Claims). So a collision of two packed claims is as unlikely, and as
// hard to find, as two values with the same claim, which the rule of admission relies on
// already.
func PackClaim(claim string) []byte {
	sum := sha256.Sum256([]byte(claim))
	return sum[:ClaimBytes]
}

// EachHolder calls found for each of the claims in a collection that an entity holds according to the
// table of claims, which does not reflect recent changes. It runs one statement for any number of claims.
func EachHolder(ctx context.Context, q sqlx.QueryerContext, collection string, claims []string, found func(claim, id string)) error {
	if len(claims) == 0 {
		return nil
	}
	byKey := make(map[[ClaimBytes]byte]string, len(claims))
	packed := make([][]byte, len(claims))
	for i, claim := range claims {
		packed[i] = PackClaim(claim)
		byKey[[ClaimBytes]byte(packed[i])] = claim
	}
	in, set := Among(packed)
	rows, err := q.QueryContext(ctx, `SELECT claim, id FROM _claims WHERE collection = ?2 AND claim `+in, set, collection)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key sql.RawBytes
		var id ID
		if err := rows.Scan(&key, &id); err != nil {
			return err
		}
		found(byKey[[ClaimBytes]byte(key)], string(id))
	}
	return rows.Err()
}

// An entity's row holds its claims as one text. A claim contains no comma.
func JoinClaims(claims []string) string { return strings.Join(claims, ",") }

// SplitClaims is the reverse of JoinClaims.
func SplitClaims(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
