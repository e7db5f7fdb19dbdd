package projections_test

import (
	"maps"
	"testing"

	"github.com/google/uuid"
)

// Holders and UsedKeys find in one read what Holder and KeyUse find in one read each.
func TestHoldersAndUsedKeys(t *testing.T) {
	r := newRig(t)
	const one, other, free = "email:AAAAAAAAAAAAAAAAAAAAAA", "email:BBBBBBBBBBBBBBBBBBBBBB", "email:CCCCCCCCCCCCCCCCCCCCCC"
	first, second := user(uuid.NewString(), "Ada", one), user(uuid.NewString(), "Bob", other)
	second.IdempotencyKey, second.RequestHash = "key", "hash"
	n := r.node(t.TempDir(), 0).at(r.append(first, second))
	for _, claims := range [][]string{nil, {free}, {one}, {other, free, one, other}} {
		want := map[string]string{}
		for _, claim := range claims {
			id, err := n.Holder(deadline(t), "users", claim)
			if err != nil {
				t.Fatal(err)
			}
			if id != "" {
				want[claim] = id
			}
		}
		if got, err := n.Holders(deadline(t), "users", claims); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: got %v, %v, want %v", claims, got, err, want)
		}
		if got, err := n.Holders(deadline(t), "orders", claims); err != nil || len(got) > 0 {
			t.Errorf("%q of another collection: got %v, %v, want none", claims, got, err)
		}
	}
	for _, keys := range [][]string{nil, {"another"}, {"another", "key"}} {
		want := map[string]bool{}
		for _, key := range keys {
			_, used, err := n.KeyUse(deadline(t), key)
			if err != nil {
				t.Fatal(err)
			}
			if used {
				want[key] = true
			}
		}
		if got, err := n.UsedKeys(deadline(t), keys); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: got %v, %v, want %v", keys, got, err, want)
		}
	}
}
