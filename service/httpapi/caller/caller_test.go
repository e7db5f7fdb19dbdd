package caller_test

import (
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
	if got := caller.Of(t.Context()); got != caller.Anonymous {
		t.Errorf("got %+v, want the anonymous caller", got)
	}
	if got := caller.Of(caller.With(t.Context(), caller.Caller{Name: "ada"})); got.Name != "ada" {
		t.Errorf("got %+v, want ada", got)
	}
}
