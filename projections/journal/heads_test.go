package journal

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/clusterlite/clusterlite/events"
)

// TestHeadsKnowTheNewestEventOfEachEntity compares the tables with a map, while entities are added,
// changed and removed at random. Few different hashes make tags collide.
func TestHeadsKnowTheNewestEventOfEachEntity(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	var h heads
	want := map[uint64][]events.Position{}
	check := func(hash uint64) {
		var got []events.Position
		h.candidates(hash, func(at events.Position) bool { got = append(got, at); return true })
		slices.Sort(got)
		if !slices.Equal(got, want[hash]) {
			t.Fatalf("got %v for the hash %x, want %v", got, hash, want[hash])
		}
	}
	hashes := make([]uint64, 20_000)
	for i := range hashes {
		hashes[i] = random.Uint64()<<32 | random.Uint64()>>32 // all 32 bits that the tables use
	}
	for at := events.Position(1); at <= 60_000; at++ {
		hash := hashes[random.IntN(len(hashes))]
		known := want[hash]
		if len(known) == 0 || random.IntN(50) == 0 {
			h.move(hash, 0, at)
			want[hash] = append(known, at)
			continue
		}
		n := random.IntN(len(known))
		from := known[n]
		known = slices.Delete(known, n, n+1)
		if random.IntN(4) == 0 {
			h.move(hash, from, 0)
		} else {
			h.move(hash, from, at)
			known = append(known, at)
		}
		want[hash] = known
		check(hash)
	}
	for _, hash := range hashes {
		check(hash)
		check(hash ^ 1<<20)
	}
}

// TestHeadsTakeLittleMemory counts the bytes of the tables.
func TestHeadsTakeLittleMemory(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // no secret
	var h heads
	const step, steps = 25_000, 20
	for i := range step * steps {
		h.move(random.Uint64(), 0, events.Position(i+1))
		if n := i + 1; n%step == 0 {
			slots := 0
			for _, s := range h.shards {
				slots += len(s.slots)
			}
			if got, most := 8*float64(slots)/float64(n), 8/0.58; got > most {
				t.Errorf("got %.1f bytes for each of %d entities, want at most %.1f", got, n, most)
			}
		}
	}
}

func BenchmarkHeads(b *testing.B) {
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // no secret
	var h heads
	hashes := make([]uint64, 1_000_000)
	for i := range hashes {
		hashes[i] = random.Uint64()
		h.move(hashes[i], 0, events.Position(i+1))
	}
	b.Run("candidates", func(b *testing.B) {
		for n := range b.N {
			h.candidates(hashes[n%len(hashes)], func(events.Position) bool { return true })
		}
	})
	b.Run("add", func(b *testing.B) {
		for i := 0; i < b.N; i += len(hashes) {
			var h heads
			for n, hash := range hashes[:min(len(hashes), b.N-i)] {
				h.move(hash, 0, events.Position(n+1))
			}
		}
	})
}
