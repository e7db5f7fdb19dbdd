// Package apikeys defines API keys, with which machines authenticate to the API.
//
// Operators create and revoke keys with the tool. A key is an entity of a [Collection] that no
// API serves, so each node learns of it from the log, within milliseconds, and keeps it in its
// read model. Only a hash of the key is stored. [Verifier] checks the key of a request.
package apikeys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/google/uuid"
)

// Prefix is the beginning of each key, and of the name of its holder. No token begins with it.
const Prefix = "clk_"

// The lengths of the parts of a key: clk_<id>_<secret><checksum>. All three are in lower-case
// base32, so a double click selects the whole key.
const (
	idLength       = 26 // of 128 bits
	secretLength   = 52 // of 256 bits
	checksumLength = 7  // of 32 bits
	length         = len(Prefix) + idLength + 1 + secretLength + checksumLength
)

// encoding is Crockford's base32, in lower case. It is part of the format of keys and never
// changes.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// A Key is a new key.
type Key struct {
	// ID is the id of the entity of the key, a UUIDv7.
	ID string
	// Text is what the client sends. It is a secret, and can't be found again once it is lost.
	Text string
}

// New returns a key with 256 random bits.
func New() (Key, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Key{}, err
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return Key{}, err
	}
	text := Name(id.String()) + "_" + encoding.EncodeToString(secret[:])
	return Key{ID: id.String(), Text: text + checksum(text)}, nil
}

// checksum distinguishes a key from one with a typing error, without a look at the stored keys.
// Scanners for secrets can check it, too.
func checksum(text string) string {
	return encoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text))))
}

// Name returns the name of the holder of a key, which identifies the key in events and to
// operators: clk_<id>. id must be a UUID.
func Name(id string) string {
	parsed := uuid.MustParse(id)
	return Prefix + encoding.EncodeToString(parsed[:])
}

// ParseName returns the id of the key with a name. ok is false for any other text.
func ParseName(name string) (id string, ok bool) {
	text, prefixed := strings.CutPrefix(name, Prefix)
	if !prefixed || len(text) != idLength {
		return "", false
	}
	bits, err := encoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	parsed, err := uuid.FromBytes(bits)
	// The last character has bits that the id does not need. Only one spelling is valid.
	if err != nil || Name(parsed.String()) != name {
		return "", false
	}
	return parsed.String(), true
}

// Parse returns the id in the text of a key. ok is false for any other text. It does not say
// whether the key exists.
func Parse(text string) (id string, ok bool) {
	if len(text) != length || text[len(Prefix)+idLength] != '_' {
		return "", false
	}
	body, sum := text[:length-checksumLength], text[length-checksumLength:]
	if checksum(body) != sum {
		return "", false
	}
	return ParseName(body[:len(Prefix)+idLength])
}

// Hash returns the hash of a key, as it is stored: SHA-256 in base64url. The key has 256 random
// bits, so no slow hash is needed.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
