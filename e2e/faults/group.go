package faults

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/clusterlite/clusterlite/e2e/history"
)

const (
	// pool is the number of e-mail addresses that the entities of a group share. It is small,
	// so that the entities conflict.
	pool = 3
	// groupSize is the maximum number of operations of a group. Checking is fast for short
	// histories, and exponential in the number of unknown outcomes.
	groupSize, groupUnknown = 150, 6
)

// A group is a set of entities that share a pool of addresses, together with what its clients
// know about them. It is safe for concurrent use.
type group struct {
	name string

	mu       sync.Mutex
	versions map[string]int64 // id → the last version that a client saw
	ids      []string
	used     int
	unknown  int
}

func newGroup(name string) *group { return &group{name: name, versions: map[string]int64{}} }

func (g *group) email(i int) string { return fmt.Sprintf("%s.%d@example.com", g.name, i) }

// full reports whether the group has enough operations.
func (g *group) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used >= groupSize || g.unknown >= groupUnknown
}

// note remembers the result of an operation.
func (g *group) note(o history.Operation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used++
	if o.Outcome == history.Unknown {
		g.unknown++
	}
	if o.Entity.ID == "" {
		return
	}
	if _, known := g.versions[o.Entity.ID]; !known {
		g.ids = append(g.ids, o.Entity.ID)
	}
	g.versions[o.Entity.ID] = o.Entity.Version
}

func (g *group) known() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.ids...)
}

// choose generates an operation. The name in it is unique, so that a read shows which write it
// sees.
func (g *group) choose(rng *rand.Rand, name string) history.Operation {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := history.Operation{Group: g.name, Email: g.email(rng.IntN(pool))}
	dice := rng.IntN(100)
	switch {
	case len(g.ids) == 0 && dice < 70 || dice < 20:
		o.Kind, o.Name = history.Create, name
		return o
	case len(g.ids) == 0 || dice < 30:
		o.Kind = history.Find
		return o
	}
	// Choose mostly the newest entities. Older ones are usually deleted by now, which is worth
	// testing sometimes.
	newest := len(g.ids) - 1
	o.ID = g.ids[newest-min(newest, int(rng.ExpFloat64()*pool))]
	switch {
	case dice < 60:
		o.Kind, o.Email = history.Read, ""
		return o
	case dice < 82:
		o.Kind = history.Patch
		if rng.IntN(2) == 0 {
			o.Email = ""
		}
		if o.Email == "" || rng.IntN(2) == 0 {
			o.Name = name
		}
	case dice < 90:
		o.Kind, o.Name = history.Replace, name
	case dice < 96:
		o.Kind, o.Email = history.Delete, ""
	default:
		o.Kind, o.Email, o.Of = history.Restore, "", 1+rng.Int64N(max(1, g.versions[o.ID]))
	}
	if rng.IntN(5) < 2 {
		o.Match = max(1, g.versions[o.ID]-int64(rng.IntN(4)/3))
	}
	return o
}
