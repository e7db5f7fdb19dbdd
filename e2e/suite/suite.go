// Package suite tests a store over HTTP, as its clients see it. It does not know whether the
// store is one process or a cluster.
package suite

import "testing"

// Run tests the store.
func Run(t *testing.T, target Target) {
	for _, part := range []struct {
		name string
		test func(*testing.T, Target)
	}{
		{"Entities", entities},
		{"Patches", patches},
		{"Preconditions", preconditions},
		{"Idempotency", idempotency},
		{"Lists", lists},
		{"Filters", filters},
		{"Imports", imports},
		{"Description", selfDescription},
		{"Consistency", consistency},
		{"Accept", accept},
		{"BadInput", badInput},
		{"CORS", cors},
		{"Codings", codings},
		{"Races", races},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, target) })
	}
}
