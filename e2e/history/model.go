package history

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// A record is an entity with its past.
type record struct {
	Entity
	deleted bool
	// past has the values of all versions, in order, so that records can be compared. That of a
	// deletion is empty.
	past string
}

const endOfVersion, endOfEmail = "\n", "\t"

// version returns the entity as an earlier version. found is false for that of a deletion.
func (r record) version(n int64) (e Entity, found bool) {
	versions := strings.Split(r.past, endOfVersion) // with an empty text at the end
	if n < 1 || n >= int64(len(versions)) || versions[n-1] == "" {
		return Entity{}, false
	}
	email, name, _ := strings.Cut(versions[n-1], endOfEmail)
	return Entity{r.ID, n, email, name}, true
}

// A state is the entities of one group, deleted ones included, sorted by id. It is immutable.
type state []record

func (s state) byID(id string) (e record, living bool) {
	if i := slices.IndexFunc(s, func(e record) bool { return e.ID == id }); i >= 0 {
		return s[i], !s[i].deleted
	}
	return record{}, false
}

func (s state) byEmail(email string) (e Entity, found bool) {
	if i := slices.IndexFunc(s, func(e record) bool { return e.Email == email && !e.deleted }); i >= 0 {
		return s[i].Entity, true
	}
	return Entity{}, false
}

// with returns the state after an entity got a new version.
func (s state) with(e Entity) state {
	before, _ := s.byID(e.ID)
	return s.set(record{Entity: e, past: before.past + e.Email + endOfEmail + e.Name + endOfVersion})
}

// without returns the state after an entity was deleted.
func (s state) without(id string) state {
	before, _ := s.byID(id)
	return s.set(record{Entity{ID: id, Version: before.Version + 1}, true, before.past + endOfVersion})
}

func (s state) set(r record) state {
	next := append(slices.DeleteFunc(slices.Clone(s), func(e record) bool { return e.ID == r.ID }), r)
	slices.SortFunc(next, func(a, b record) int { return cmp.Compare(a.ID, b.ID) })
	return next
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
	before, living := s.byID(o.ID)
	e := before.Entity
	if o.Kind == Restore {
		earlier, found := before.version(o.Of)
		if !found {
			return Missing, Entity{}, s
		}
		o.Email, o.Name = earlier.Email, earlier.Name
	}
	switch {
	case !living && o.Kind != Restore:
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
	if e == before.Entity && living && !o.Keyed {
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
