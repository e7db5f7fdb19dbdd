package projections

import (
	"fmt"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// A batch may touch more collections than the writer keeps statements prepared for.
func TestABatchOfManyCollections(t *testing.T) {
	f, _ := newProducts(t)
	const id = "0193a1a0-0000-7000-8000-000000000001"
	const collections = sqlite.KeptStatements + 6
	batch := func(kind events.Kind, version int64) (all []events.Event) {
		for i := range collections {
			e := created(t, product{id, map[string]any{"name": fmt.Sprint(i)}})
			e.Collection, e.Kind, e.Version = fmt.Sprintf("many%d", i), kind, version
			if kind == events.Deleted {
				e.Document = nil
			}
			all = append(all, e)
		}
		return all
	}
	f.applyAll(t, batch(events.Created, 1)...)
	f.applyAll(t, batch(events.Updated, 2)...)
	living := func() (n, versions int64) {
		for i := range collections {
			var one struct{ N, Versions int64 }
			if err := f.w.Conn.GetContext(t.Context(), &one, fmt.Sprintf(`SELECT count(*) AS n, coalesce(sum(version), 0) AS versions FROM many%d`, i)); err != nil {
				t.Fatal(err)
			}
			n, versions = n+one.N, versions+one.Versions
		}
		return n, versions
	}
	if n, versions := living(); n != collections || versions != 2*collections {
		t.Errorf("after an update: got %d entities with a sum of versions of %d, want %d and %d", n, versions, collections, 2*collections)
	}
	f.applyAll(t, batch(events.Deleted, 3)...)
	if n, _ := living(); n != 0 {
		t.Errorf("after a deletion: got %d entities, want none", n)
	}
}
