package caller_test

import (
	"context"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// Keys of anonymous callers are stored as they were sent. Every other caller has separate keys,
// even if the keys that were sent are equal.
func TestIdempotencyKeys(t *testing.T) {
	if got := caller.Anonymous.IdempotencyKey("k-1"); got != "k-1" {
		t.Errorf("anonymous: got %q, want the key as it was sent", got)
	}
	ada, bob := caller.Caller{Name: "ada"}, caller.Caller{Name: "bob"}
	if a, b := ada.IdempotencyKey("k-1"), bob.IdempotencyKey("k-1"); a == b || a == "k-1" {
		t.Errorf("got %q and %q, want a key for each caller", a, b)
	}
	// The stored format never changes.
	if got, want := ada.IdempotencyKey("k-1"), "xGdEqmgOYaZH-rFljXt9LDGGMOjaO6XzCw2PrKef06M"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOfAContextWithoutACaller(t *testing.T) {
	if got := caller.Of(t.Context()); !got.IsAnonymous() {
		t.Errorf("got %+v, want the anonymous caller", got)
	}
	if got := caller.Of(context.WithValue(t.Context(), caller.Key{}, &caller.Caller{Name: "ada"})); got.Name != "ada" {
		t.Errorf("got %+v, want ada", got)
	}
}

func TestRoles(t *testing.T) {
	editor := caller.Caller{Name: "ada", Roles: []string{"editor", caller.RoleAnonymous}}
	for _, c := range []struct {
		name string
		who  caller.Caller
		role string
		want bool
	}{
		{"a role of the credential", editor, "editor", true},
		{"another role", editor, caller.RoleAdmin, false},
		{"a token can't make its holder anonymous", editor, caller.RoleAnonymous, false},
		{"anonymous", caller.Anonymous, caller.RoleAnonymous, true},
		{"anonymous with another role", caller.Anonymous, "editor", false},
	} {
		if got := c.who.Has(c.role); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}
