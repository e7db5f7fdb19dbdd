package journal

import (
	"encoding/binary"
	"math/bits"

	"github.com/clusterlite/clusterlite/events"
)

// A hashKey makes the places of entities in the table unpredictable to clients, who may choose ids.
type hashKey [16]byte

// hash distributes the entities of all collections. It is stored in the indexes of segments.
func (k hashKey) hash(collection string, id packedID) uint64 {
	c := uint64(14695981039346656037)
	for i := 0; i < len(collection); i++ {
		c = (c ^ uint64(collection[i])) * 1099511628211
	}
	a := binary.LittleEndian.Uint64(id[:]) ^ binary.LittleEndian.Uint64(k[:])
	b := binary.LittleEndian.Uint64(id[8:]) ^ binary.LittleEndian.Uint64(k[8:])
	high, low := bits.Mul64(a|1, b^c)
	high2, low2 := bits.Mul64(high^low^c, 0x9e3779b97f4a7c15)
	return high2 ^ low2 ^ a
}

// heads knows the newest event of each entity. Each event is kept as a tag of 24 bits from the hash
// of its entity, and its position. Different entities may have the same tag, so a search yields
// candidates. Not safe for concurrent use.
type heads struct{ shards [256]headShard }

// A headShard is a hash table with linear probing. The place of a slot follows from its tag, so a
// table can grow without the hashes. It grows by a quarter, so that at least three fifths of a large
// table are in use: with a million entities, this is the largest block of memory of a node.
type headShard struct {
	slots []uint64
	used  int // slots that are not empty, including removed ones
}

const (
	positionBits = 40
	positionMask = 1<<positionBits - 1
	tagBits      = 64 - positionBits
	removedHead  = positionMask // no event has this position
	minSlots     = 8
)

func slotOf(hash uint64, at events.Position) uint64 {
	return hash>>8<<positionBits | uint64(at)
}

func (h *heads) shard(hash uint64) *headShard { return &h.shards[hash&255] }

// candidates calls yield with the newest events of all entities whose tag is that of a hash, until
// yield returns false.
func (h *heads) candidates(hash uint64, yield func(events.Position) bool) {
	s := h.shard(hash)
	if len(s.slots) == 0 {
		return
	}
	tag := slotOf(hash, 0)
	for i := s.place(tag); s.slots[i] != 0; i = s.after(i) {
		slot := s.slots[i]
		if at := slot & positionMask; slot&^positionMask == tag && at != removedHead && !yield(events.Position(at)) {
			return
		}
	}
}

// move replaces the newest event of an entity. A zero from means that the entity is new, and a zero
// to that it is removed.
func (h *heads) move(hash uint64, from, to events.Position) {
	s := h.shard(hash)
	if from == 0 {
		s.add(slotOf(hash, to))
		return
	}
	if len(s.slots) == 0 {
		return
	}
	want := slotOf(hash, from)
	for i := s.place(want); s.slots[i] != 0; i = s.after(i) {
		if s.slots[i] != want {
			continue
		}
		if to == 0 {
			to = removedHead
		}
		s.slots[i] = slotOf(hash, to)
		return
	}
}

// place returns where a search for a slot begins.
func (s *headShard) place(slot uint64) int {
	return int(slot >> positionBits * uint64(len(s.slots)) >> tagBits)
}

// after returns the index where a search continues after i.
func (s *headShard) after(i int) int {
	if i++; i == len(s.slots) {
		return 0
	}
	return i
}

func (s *headShard) add(slot uint64) {
	if 4*(s.used+1) > 3*len(s.slots) {
		s.grow()
	}
	s.put(slot)
}

func (s *headShard) put(slot uint64) {
	i := s.place(slot)
	for s.slots[i] != 0 {
		i = s.after(i)
	}
	s.slots[i] = slot
	s.used++
}

func (s *headShard) grow() {
	old := s.slots
	s.slots, s.used = make([]uint64, max(len(old)+len(old)/4, minSlots)), 0
	for _, slot := range old {
		if slot != 0 && slot&positionMask != removedHead {
			s.put(slot)
		}
	}
}
