package apikeys

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// Collection is the collection whose entities are the keys. No file can declare it, so no API
// serves it. The log stores the name, so it never changes.
const Collection = "clusterlite_keys"

// A Record is what is stored of a key: the document of its entity. Its JSON is stored in the log,
// so members keep their names and meanings.
type Record struct {
	// Name says to people what the key is for. Several keys may share it.
	Name string `json:"name"`
	// Roles are the roles of whoever sends the key.
	Roles []string `json:"roles,omitempty"`
	// ExpiresAt is when the key stops being valid; nil means never.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// RevokedAt is when the key was revoked, or nil.
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	// Hash is the [Hash] of the key. A revoked key has none.
	Hash string `json:"hash,omitempty"`
}

// An InvalidError is returned for a record that can't be stored.
type InvalidError struct{ Reason string }

// Error says what is allowed.
func (e *InvalidError) Error() string { return e.Reason }

const (
	maxName  = 100 // characters
	maxRoles = 32
)

// Check returns an [InvalidError] if an operator must not create a key like this.
func (r Record) Check() error {
	if r.Name == "" || utf8.RuneCountInString(r.Name) > maxName || strings.ContainsFunc(r.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return &InvalidError{fmt.Sprintf("the name of a key is %q; allowed: 1 to %d printable characters", r.Name, maxName)}
	}
	if len(r.Roles) > maxRoles {
		return &InvalidError{fmt.Sprintf("the key has %d roles; allowed: up to %d", len(r.Roles), maxRoles)}
	}
	for _, role := range r.Roles {
		if role == "" || utf8.RuneCountInString(role) > maxName || strings.ContainsFunc(role, func(c rune) bool { return !unicode.IsGraphic(c) || unicode.IsSpace(c) }) {
			return &InvalidError{fmt.Sprintf("the role %q is not valid; allowed: 1 to %d printable characters without spaces", role, maxName)}
		}
		if role == caller.RoleAnonymous {
			return &InvalidError{fmt.Sprintf("the role %q belongs to requests without credentials, and no key can have it", role)}
		}
	}
	return nil
}

// Document returns the record as a document.
func (r Record) Document() []byte {
	b, err := json.Marshal(r)
	if err != nil { // strings and times can always be encoded
		panic(err)
	}
	return b
}

// ParseRecord reads a record from an entity as it is rendered.
func ParseRecord(rendered []byte) (r Record, err error) {
	if err := json.Unmarshal(rendered, &r); err != nil {
		return Record{}, fmt.Errorf("read an API key: %w", err)
	}
	r.Roles = slices.DeleteFunc(r.Roles, func(role string) bool { return role == "" || role == caller.RoleAnonymous })
	return r, nil
}

// Valid reports whether a key with this record is accepted at a time.
func (r Record) Valid(now time.Time) bool {
	return r.Hash != "" && r.RevokedAt == nil && (r.ExpiresAt == nil || now.Before(*r.ExpiresAt))
}

// Revoked returns the record of the key after its revocation.
func (r Record) Revoked(now time.Time) Record {
	now = now.UTC().Truncate(time.Millisecond)
	r.RevokedAt, r.Hash = &now, ""
	return r
}
