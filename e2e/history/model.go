package history

import (
	"hash/maphash"
	"slices"

	"github.com/anishathalye/porcupine"
)

// A state is the living entities of one group, sorted by id. It is immutable.
type state []Entity

func (s state) find(ok func(Entity) bool) (Entity, bool) {
	if i := slices.IndexFunc(s, ok); i >= 0 {
		return s[i], true
	}
	return Entity{}, false
}

func (s state) byID(id string) (Entity, bool) {
	return s.find(func(e Entity) bool { return e.ID == id })
}

func (s state) byEmail(email string) (Entity, bool) {
	return s.find(func(e Entity) bool { return e.Email == email })
}

// with returns the state after adding or replacing an entity.
func (s state) with(e Entity) state {
	next := append(s.without(e.ID), e)
	slices.SortFunc(next, func(a, b Entity) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return next
}

// without returns the state after removing an entity.
func (s state) without(id string) state {
	return slices.DeleteFunc(slices.Clone(s), func(e Entity) bool { return e.ID == id })
}

// do is the complete specification. It returns the answer of a sequential store with a single
// copy, and the store's next state.
func (s state) do(o Operation) (Outcome, Entity, state) {
	switch o.Kind {
	case Create:
		if _, taken := s.byEmail(o.Email); taken {
			return Taken, Entity{}, s
		}
		e := Entity{ID: o.Entity.ID, Version: 1, Email: o.Email, Name: o.Name}
		return Done, e, s.with(e)
	case Find:
		e, _ := s.byEmail(o.Email)
		return Done, e, s
	}
	e, found := s.byID(o.ID)
	switch {
	case !found:
		return Missing, Entity{}, s
	case o.Kind == Read:
		return Done, e, s
	case o.Match != 0 && o.Match != e.Version:
		return Mismatch, Entity{Version: e.Version}, s
	case o.Kind == Delete:
		return Done, Entity{}, s.without(e.ID)
	}
	if o.Email != "" {
		if holder, taken := s.byEmail(o.Email); taken && holder.ID != e.ID {
			return Taken, Entity{}, s
		}
		e.Email = o.Email
	}
	if o.Name != "" {
		e.Name = o.Name
	}
	// A write that changes nothing creates no version. In general, a replacement could differ
	// in the order of members, but replacements here always have a new name.
	if before, _ := s.byID(o.ID); e == before && !o.Keyed {
		return Done, e, s
	}
	e.Version++
	return Done, e, s.with(e)
}

var seed = maphash.MakeSeed()

// model is the specification in the form that porcupine expects.
var model = porcupine.Model{
	Init: func() any { return state(nil) },
	Step: func(before, input, _ any) (bool, any) {
		o := input.(Operation)
		outcome, entity, after := before.(state).do(o)
		// An operation with an unknown outcome may take effect here. If it never does, the
		// result is the same as if it took effect after everything else.
		if o.Outcome == Unknown {
			return true, after
		}
		return outcome == o.Outcome && entity == o.Entity, after
	},
	Equal: func(a, b any) bool { return slices.Equal(a.(state), b.(state)) },
	Hash: func(s any) uint64 {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, e := range s.(state) {
			maphash.WriteComparable(&h, e)
		}
		return h.Sum64()
	},
	DescribeOperation: func(input, _ any) string { return input.(Operation).String() },
}
