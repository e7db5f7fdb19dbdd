package projections

import (
	"crypto/sha256"
	"strings"
)

// packClaim gives the bytes that stand for a claim in the table of claims: the first 128 bits
// of its SHA-256. A claim is a field and 128 bits of a SHA-256 itself (see
// collections.Collection.Claims). So two claims with the same bytes are as unlikely, and as
// hard to find, as two values with the same claim: the events' rule already rests on that.
func packClaim(claim string) []byte {
	sum := sha256.Sum256([]byte(claim))
	return sum[:16]
}

// An entity's row holds its claims as one text. A claim has no comma.
func joinClaims(claims []string) string { return strings.Join(claims, ",") }

func splitClaims(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
