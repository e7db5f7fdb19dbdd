package projections

import (
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
)

// A rebuild pauses in proportion to the load that other work puts on the node.
func TestARebuildRestsForOthers(t *testing.T) {
	const spent = 100 * time.Millisecond
	for _, c := range []struct {
		name   string
		rate   int
		left   events.Position
		others int64
		want   time.Duration
	}{
		{"an idle node", 0, 1_000_000, 0, 0},
		{"a node with little load", 0, 1_000_000, 10, 10 * time.Millisecond},
		{"a busy node", 0, 1_000_000, 5000, spent},
		{"a busy node, almost there", 0, near, 5000, 0},
		{"a rate", 1000, 1_000_000, 0, time.Second - spent},
	} {
		r := &rebuild{options: RebuildOptions{Rate: c.rate}}
		if got := r.rest(1000, spent, c.left, c.others); got != c.want {
			t.Errorf("%s: got a rest of %s, want %s", c.name, got, c.want)
		}
	}
}

func TestReadsAreCounted(t *testing.T) {
	g := generation.New(nil, nil)
	for range 3 {
		if !g.Hold() {
			t.Fatal("got no hold, want one")
		}
	}
	if got := g.Reads(); got != 3 {
		t.Errorf("got %d reads, want 3", got)
	}
	for range 4 { // the projection itself has the last hold
		if isClosed(g.Free) {
			t.Fatal("got a free generation while it is held, want it not free")
		}
		g.Release()
	}
	if got := g.Reads(); got != 3 || !isClosed(g.Free) || g.Hold() {
		t.Errorf("got %d reads, free: %v, want 3 and no more holds", got, isClosed(g.Free))
	}
}

// A builder that is far from its target position applies more in one transaction, unless other
// work needs the machine.
func TestBuildersApplyMoreWhenFar(t *testing.T) {
	b := &generation.Builder{Generation: &generation.Generation{Writer: &applier.Writer{Entities: applier.Entities{Position: 1000}}}, Batch: 100}
	for _, c := range []struct {
		until  events.Position
		gentle bool
		want   int
	}{{1001, false, 100}, {2000, false, 100}, {2001, false, 1000}, {1_000_000, true, 100}} {
		b.Gentle = c.gentle
		if got := b.Next(generation.Bound{Position: c.until}); got != c.want {
			t.Errorf("until %d, gentle %v: got %d, want %d", c.until, c.gentle, got, c.want)
		}
	}
}
