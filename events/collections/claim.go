package collections

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/events/collections/folding"
)

// Claims returns the unique keys that a document would hold, sorted: <field>:<hash> for
// each unique field that is present and not null. The hash is the first 128 bits, in
// base64url, of SHA-256 over the collection, the field and the normalised value, separated
// by zero bytes. It is small in an index, and keeps personal data out of headers. Hashes
// are stored, so the algorithm must never change.
func (c *Collection) Claims(value map[string]any) []string {
	var claims []string
	for _, p := range c.properties {
		if !p.Unique {
			continue
		}
		if v, ok := p.Normalise(value[p.Name]); ok {
			claims = append(claims, p.Name+":"+hashClaim(c.name, p.Name, v))
		}
	}
	slices.Sort(claims)
	return claims
}

func hashClaim(collection, field, value string) string {
	sum := sha256.Sum256([]byte(collection + "\x00" + field + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Normalise returns the text by which a value of the property is compared for uniqueness,
// and false for a value that is not compared, such as null. Two values are equal if their
// texts are. See [folding] for strings. Integers are compared by value, regardless of their
// notation.
func (p Property) Normalise(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		if p.NoCase {
			return folding.Fold(v), true
		}
		return folding.NFC(v), true
	case json.Number:
		return normaliseInteger(string(v)), true
	default:
		return "", false
	}
}

// normaliseInteger returns the same text for 1, 1.0 and 10e-1. Numbers of more than a thousand digits
// stay as they are written, because expanding them could exhaust memory.
func normaliseInteger(s string) string {
	if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n > 1000 || n < -1000 {
			return strings.ToLower(s)
		}
	}
	if r, ok := new(big.Rat).SetString(s); ok && r.IsInt() {
		return r.Num().String()
	}
	return s
}

// FoldVersion is the version of the results of [Fold]. Code that stores results must
// compare versions before it uses them.
const FoldVersion = folding.Version

// Fold returns the same text for all texts that are equal under a unique property that ignores
// case. See [folding.Fold].
func Fold(text string) string { return folding.Fold(text) }
