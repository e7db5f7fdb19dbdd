package events_test

import (
	"fmt"
	"maps"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events"
)

// records draws logs in which everything that can conflict does. They have few entities, claims
// and keys, clocks that jump, and barriers and malformed records in between.
func records() *rapid.Generator[[]events.Record] {
	one := rapid.Custom(func(t *rapid.T) events.Record {
		r := events.Record{Timestamp: noon.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "hour")) * time.Hour)}
		switch rapid.IntRange(0, 20).Draw(t, "content") {
		case 0:
			r.Content = events.Barrier
			return r
		case 1:
			r.Content, r.Malformed = events.Malformed, "rubbish"
			return r
		}
		kind := rapid.SampledFrom([]events.Kind{events.Created, events.Updated, events.Updated, events.Deleted, events.Restored}).Draw(t, "kind")
		r.Event = events.Event{
			Source: "/test", Kind: kind, Time: noon, Version: 1,
			Collection: rapid.SampledFrom([]string{"users", "orders"}).Draw(t, "collection"),
			EntityID:   fmt.Sprintf("0193a1a0-0000-7000-8000-00000000000%d", rapid.IntRange(0, 4).Draw(t, "entity")),
		}
		if kind != events.Created {
			r.Event.Version = int64(rapid.IntRange(2, 6).Draw(t, "version"))
		}
		if kind != events.Deleted {
			r.Event.Document = []byte(fmt.Sprintf(`{"n":%d}`, rapid.IntRange(0, 9).Draw(t, "n")))
			for c := range 4 {
				if rapid.IntRange(0, 3).Draw(t, "claims") == 0 {
					r.Event.Claims = append(r.Event.Claims, fmt.Sprintf("email:AAAAAAAAAAAAAAAAAAAAA%d", c))
				}
			}
		}
		if k := rapid.IntRange(0, 6).Draw(t, "key"); k < 3 {
			r.Event.IdempotencyKey, r.Event.RequestHash = fmt.Sprintf("key-%d", k), "h"
		}
		return r
	})
	return rapid.Map(rapid.SliceOfN(one, 1, 80), func(log []events.Record) []events.Record {
		for i := range log {
			log[i].Offset = int64(i)
			log[i].Event.ID = fmt.Sprintf("0193a1a0-0000-7000-9000-%012x", i)
		}
		return log
	})
}

// living returns the claims that an entity holds. A freed claim counts as one that was never held.
func living(claims map[events.ClaimKey]string) map[events.ClaimKey]string {
	held := maps.Clone(claims)
	maps.DeleteFunc(held, func(_ events.ClaimKey, id string) bool { return id == "" })
	return held
}

func TestReadersAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := records().Draw(t, "log")
		one, other := events.NewMemory(), events.NewMemory()
		for _, r := range log {
			v1, err1 := one.Take(r)
			v2, err2 := other.Take(r)
			if v1 != v2 || err1 != nil || err2 != nil {
				t.Fatalf("offset %d: got %+v, %v and %+v, %v, want the same verdict without errors", r.Offset, v1, err1, v2, err2)
			}
		}
		if !reflect.DeepEqual(one, other) {
			t.Fatal("got different states, want the same")
		}
	})
}

func TestEveryPrefixIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := events.NewMemory()
		versions := map[events.EntityKey]int64{}
		clock := state.LogTime()
		for _, r := range records().Draw(t, "log") {
			before := maps.Clone(state.Entities)
			v, err := state.Take(r)
			if err != nil {
				t.Fatal(err)
			}
			key := events.EntityKey{Collection: r.Event.Collection, ID: r.Event.EntityID}
			if v.Outcome == events.Admitted {
				if versions[key]++; r.Event.Version != versions[key] {
					t.Fatalf("offset %d: got version %d of %v admitted, want %d", r.Offset, r.Event.Version, key, versions[key])
				}
			} else if !reflect.DeepEqual(before, state.Entities) {
				t.Fatalf("offset %d: got a changed entity without admission, want none", r.Offset)
			}
			if state.LogTime().Before(clock) {
				t.Fatalf("offset %d: got log time %v, want at least %v", r.Offset, state.LogTime(), clock)
			}
			clock = state.LogTime()
			checkClaims(t, state)
		}
	})
}

// checkClaims compares the claims with the entities. Exactly one living entity must list each held
// claim, and entities must list no other claims.
func checkClaims(t *rapid.T, state *events.Memory) {
	fromEntities := map[events.ClaimKey]string{}
	for key, e := range state.Entities {
		if e.Deleted && len(e.Claims) > 0 {
			t.Fatalf("%v is deleted: got the claims %v, want none", key, e.Claims)
		}
		for _, c := range e.Claims {
			claim := events.ClaimKey{Collection: key.Collection, Claim: c}
			if other, twice := fromEntities[claim]; twice {
				t.Fatalf("%v: got the holders %s and %s, want one", claim, other, key.ID)
			}
			fromEntities[claim] = key.ID
		}
	}
	if !maps.Equal(fromEntities, living(state.Claims)) {
		t.Fatalf("got the claims %v, want %v as in the entities", state.Claims, fromEntities)
	}
}
