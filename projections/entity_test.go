package projections

import (
	"context"
	"fmt"
	"testing"

	"github.com/clusterlite/clusterlite/events"
)

// The read of an entity returns the position of its answer, whether the entity lives, was deleted
// or never existed.
func TestAnEntityIsReadWithItsPosition(t *testing.T) {
	f, _ := newProducts(t)
	p := onFile(f)
	const living, deleted, missing = "0193a1a0-0000-7000-8000-000000000001", "0193a1a0-0000-7000-8000-000000000002", "0193a1a0-0000-7000-8000-000000000003"
	f.applyAll(t, created(t, product{living, map[string]any{"name": "a"}}))
	f.applyAll(t, created(t, product{deleted, map[string]any{"name": "b"}}))
	f.applyAll(t, events.Event{Collection: "products", EntityID: deleted, Kind: events.Deleted, Version: 2})
	for id, want := range map[string]struct {
		found, deleted bool
		version        int64
	}{living: {true, false, 1}, deleted: {true, true, 2}, missing: {false, false, 0}} {
		e, found, at, err := p.Entity(t.Context(), "products", id)
		if err != nil || found != want.found || e.Deleted != want.deleted || e.Version != want.version || e.ID != id || at != f.w.Position {
			t.Errorf("%s: got %+v, found %t, position %d, %v, want %+v at position %d", id, e, found, at, err, want, f.w.Position)
		}
		if (len(e.Rendered) > 0) != (id == living) || (e.UpdatedAt != "") != found {
			t.Errorf("%s: got %q, updated at %q, want a document only if the entity lives, and a time only if it was found", id, e.Rendered, e.UpdatedAt)
		}
	}
	f.applyAll(t, created(t, product{missing, map[string]any{}}))
	if e, found, at, err := p.Entity(t.Context(), "products", missing); err != nil || !found || e.Version != 1 || at != f.w.Position {
		t.Errorf("once it exists: got %+v, found %t, position %d, %v, want version 1 at position %d", e, found, at, err, f.w.Position)
	}
}

// BenchmarkEntity reads single entities that live, that were deleted and that never existed.
func BenchmarkEntity(b *testing.B) {
	f, _ := newProducts(b)
	p := onFile(f)
	id := func(i int) string { return fmt.Sprintf("0193a1a0-0000-7000-8000-%012x", i) }
	var batch []events.Event
	for i := range 20_000 {
		batch = append(batch, created(b, product{id(i), map[string]any{"name": fmt.Sprint("n", i%100), "price": float64(i % 1000)}}))
	}
	f.applyAll(b, batch...)
	f.applyAll(b, events.Event{Collection: "products", EntityID: id(1), Kind: events.Deleted, Version: 2})
	for name, i := range map[string]int{"living": 777, "deleted": 1, "missing": 20_001} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := p.Entity(context.Background(), "products", id(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, _, _, err := p.Entity(context.Background(), "products", id(2+i%10_000)); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
