// Package caller carries who sent a request: the identity that its credentials prove. Package
// web sets it in the context of each request. Handlers, log lines, spans and idempotency keys
// read it there.
//
// What authenticates requests implements [Identify], and main passes it to the server. Without
// it, every caller is [Anonymous].
package caller

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
)

// A Caller is who sent a request. The zero Caller is [Anonymous]. A Caller is immutable: requests
// of the same credential share its roles and claims.
type Caller struct {
	// Name identifies the caller, and is stable over requests. It is safe to log, and events
	// store it as their actor, so it meets events.ValidActor. It is empty for an anonymous
	// caller.
	Name string
	// Roles are what the credential says that the caller may act as. Ask [Caller.Has].
	Roles []string
	// Claims are the claims of a verified token, as decoded JSON. They are nil for a caller
	// that has none.
	Claims map[string]any
}

// Roles that have a meaning for every collection.
const (
	// RoleAnonymous is the role of a caller without credentials, and no other has it.
	RoleAnonymous = "anonymous"
	// RoleAdmin may do what a collection's rules leave out.
	RoleAdmin = "admin"
)

// Anonymous is a caller without credentials.
var Anonymous Caller

// IsAnonymous reports whether the caller sent no credentials.
func (c Caller) IsAnonymous() bool { return c.Name == "" }

// Has reports whether the caller has a role.
func (c Caller) Has(role string) bool {
	if c.IsAnonymous() {
		return role == RoleAnonymous
	}
	return role != RoleAnonymous && slices.Contains(c.Roles, role)
}

// Identify returns the caller of a request. The error is a problem, with which the request is
// rejected before its body is read. Safe for concurrent use.
type Identify func(*http.Request) (Caller, error)

// Key is the key of the caller in a context. Its value is a *[Caller], so that a context type may
// return the address of one of its fields without an allocation.
type Key struct{}

// Of returns the caller of the request that ctx belongs to, or [Anonymous].
func Of(ctx context.Context) Caller {
	if c, ok := ctx.Value(Key{}).(*Caller); ok {
		return *c
	}
	return Anonymous
}

// IdempotencyKey returns the key under which a write is stored whose client sent the given
// Idempotency-Key. Callers do not share keys: the key of a caller with a name is a hash of both,
// in base64url. The key of an anonymous caller is stored as it is, as it has always been.
func (c Caller) IdempotencyKey(sent string) string {
	if c.IsAnonymous() {
		return sent
	}
	sum := sha256.Sum256([]byte("caller\x00" + c.Name + "\x00" + sent))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
