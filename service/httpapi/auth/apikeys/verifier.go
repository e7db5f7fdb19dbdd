package apikeys

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/hashicorp/golang-lru/v2"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// ErrInvalid is returned for a key that is not accepted. It does not say whether the key is
// malformed, unknown, expired or revoked.
var ErrInvalid = errors.New("it is not a valid API key")

// maxKnown bounds how many accepted keys are kept in memory, by their hashes.
const maxKnown = 10_000

// An Entity is the stored entity of a key.
type Entity struct {
	// Version is the version of the entity: it changes whenever Rendered does.
	Version int64
	// Rendered is the entity as it is rendered.
	Rendered []byte
}

// Find returns the entity of a key by its id. found is false if no such entity lives. The error is
// a problem. Safe for concurrent use.
type Find func(ctx context.Context, id string) (e Entity, found bool, err error)

// A Verifier verifies the keys of requests. Safe for concurrent use.
type Verifier struct {
	find  Find
	uses  *Uses
	known *lru.Cache[[sha256.Size]byte, known]
	now   func() time.Time
}

// known is a key that was accepted, and the version of its entity then.
type known struct {
	id      string
	version int64
	Record
	caller caller.Caller
	use    *use
}

// NewVerifier returns a verifier of the keys that find returns. It notes when they are used.
func NewVerifier(find Find, uses *Uses) (*Verifier, error) {
	cache, err := lru.New[[sha256.Size]byte, known](maxKnown)
	if err != nil {
		return nil, err
	}
	return &Verifier{find: find, uses: uses, known: cache, now: time.Now}, nil
}

// Verify returns the holder of a key. The error is [ErrInvalid] if the key is not accepted, or the
// problem that prevents an answer. Each call asks for the entity of the key, so a revocation takes
// effect as soon as the node has read it.
func (v *Verifier) Verify(ctx context.Context, text string) (caller.Caller, error) {
	if len(text) != length {
		return caller.Anonymous, ErrInvalid
	}
	sum := sha256.Sum256([]byte(text))
	k, ok := v.known.Get(sum)
	if !ok {
		if k.id, ok = Parse(text); !ok {
			return caller.Anonymous, ErrInvalid
		}
	}
	e, found, err := v.find(ctx, k.id)
	if err != nil {
		return caller.Anonymous, err
	}
	if !found {
		return caller.Anonymous, ErrInvalid
	}
	if k.version != e.Version { // also if the key is not known yet
		if k, ok = v.match(k.id, e, text); !ok {
			return caller.Anonymous, ErrInvalid
		}
		v.known.Add(sum, k)
	}
	now := v.now()
	if !k.Valid(now) {
		return caller.Anonymous, ErrInvalid
	}
	k.use.note(now)
	return k.caller, nil
}

// match compares a key with its entity. ok is false if the entity is that of another key, or if
// it was revoked.
func (v *Verifier) match(id string, e Entity, text string) (k known, ok bool) {
	r, err := ParseRecord(e.Rendered)
	if err != nil || subtle.ConstantTimeCompare([]byte(Hash(text)), []byte(r.Hash)) != 1 {
		return known{}, false
	}
	return known{id, e.Version, r, caller.Caller{Name: Name(id), Roles: r.Roles}, v.uses.of(id)}, true
}
