package history_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/history"
)

// A script is a history that is written by hand, with times in milliseconds.
type script struct{ operations []history.Operation }

func (s *script) add(start, end int, o history.Operation) *script {
	o.Client, o.Group, o.Fresh = len(s.operations), "g", true
	o.Start, o.End = time.Duration(start)*time.Millisecond, time.Duration(end)*time.Millisecond
	s.operations = append(s.operations, o)
	return s
}

func (s *script) stale() *script {
	s.operations[len(s.operations)-1].Fresh = false
	return s
}

func (s *script) at(position int64) *script {
	s.operations[len(s.operations)-1].Position = position
	return s
}

func (s *script) by(node string) *script {
	s.operations[len(s.operations)-1].Node = node
	return s
}

func (s *script) create(start, end int, e history.Entity) *script {
	return s.add(start, end, history.Operation{Kind: history.Create, Email: e.Email, Name: e.Name, Outcome: history.Done, Entity: e})
}

func (s *script) rename(start, end int, match int64, e history.Entity) *script {
	return s.add(start, end, history.Operation{Kind: history.Patch, ID: e.ID, Name: e.Name, Match: match, Outcome: history.Done, Entity: e})
}

func (s *script) remove(start, end int, id string) *script {
	return s.add(start, end, history.Operation{Kind: history.Delete, ID: id, Outcome: history.Done})
}

func (s *script) restore(start, end int, of int64, e history.Entity) *script {
	return s.add(start, end, history.Operation{Kind: history.Restore, ID: e.ID, Of: of, Outcome: history.Done, Entity: e})
}

func (s *script) read(start, end int, e history.Entity) *script {
	return s.add(start, end, history.Operation{Kind: history.Read, ID: e.ID, Outcome: history.Done, Entity: e})
}

func (s *script) missing(start, end int, id string) *script {
	return s.add(start, end, history.Operation{Kind: history.Read, ID: id, Outcome: history.Missing})
}

func (s *script) find(start, end int, email string, e history.Entity) *script {
	return s.add(start, end, history.Operation{Kind: history.Find, Email: email, Outcome: history.Done, Entity: e})
}

func (s *script) refused(start, end int, o history.Operation, outcome history.Outcome) *script {
	o.Outcome = outcome
	return s.add(start, end, o)
}

func (s *script) unknown(start int, o history.Operation) *script {
	o.Outcome = history.Unknown
	return s.add(start, start, o)
}

func (s *script) violations() []string {
	return history.Check(s.operations, history.Options{Timeout: 30 * time.Second})
}

func entity(id string, version int64, email, name string) history.Entity {
	return history.Entity{ID: id, Version: version, Email: email, Name: name}
}

var (
	a1  = entity("a", 1, "x", "one")
	a2  = entity("a", 2, "x", "two")
	a2b = entity("a", 2, "x", "other")
	a3  = entity("a", 3, "x", "three")
	a4  = entity("a", 4, "x", "one")
	b1  = entity("b", 1, "x", "bob")
)

// A correct store can give these answers.
func TestGoodHistoriesAreAccepted(t *testing.T) {
	for name, s := range map[string]*script{
		"one after the other": new(script).create(0, 1, a1).at(1).read(2, 3, a1).at(1).rename(4, 5, 1, a2).at(2).read(6, 7, a2).at(2).
			refused(8, 9, history.Operation{Kind: history.Patch, ID: "a", Name: "n", Match: 1, Entity: history.Entity{Version: 2}}, history.Mismatch).
			refused(8, 9, history.Operation{Kind: history.Create, Email: "x", Name: "n"}, history.Taken).
			remove(10, 11, "a").at(3).missing(12, 13, "a").at(3).find(12, 13, "x", history.Entity{}).create(14, 15, b1).at(4).
			refused(16, 17, history.Operation{Kind: history.Replace, ID: "a", Email: "y", Name: "n"}, history.Missing),
		"a restore": new(script).create(0, 1, a1).at(1).rename(2, 3, 1, a2).at(2).restore(4, 5, 1, entity("a", 3, "x", "one")).at(3).
			refused(6, 7, history.Operation{Kind: history.Restore, ID: "a", Of: 4}, history.Missing).restore(8, 9, 3, entity("a", 3, "x", "one")).at(3),
		"a deleted entity is restored": new(script).create(0, 1, a1).at(1).rename(2, 3, 1, a2).at(2).remove(4, 5, "a").at(3).missing(6, 7, "a").at(3).
			refused(6, 7, history.Operation{Kind: history.Restore, ID: "a", Of: 3}, history.Missing).
			refused(6, 7, history.Operation{Kind: history.Restore, ID: "a", Of: 1, Match: 2, Entity: history.Entity{Version: 3}}, history.Mismatch).
			restore(8, 9, 1, a4).at(4).read(10, 11, a4).at(4).find(10, 11, "x", a4).remove(12, 13, "a").at(5).missing(14, 15, "a").at(5).stale(),
		"an address was taken before the restore": new(script).create(0, 1, a1).remove(2, 3, "a").create(4, 5, b1).
			refused(6, 7, history.Operation{Kind: history.Restore, ID: "a", Of: 1}, history.Taken),
		"an unknown restore was done": new(script).create(0, 1, a1).at(1).rename(2, 3, 1, a2).at(2).remove(4, 5, "a").at(3).
			unknown(6, history.Operation{Kind: history.Restore, ID: "a", Of: 1}).read(7, 8, a4).at(4).remove(9, 10, "a").at(5),
		"a read beside a write sees it or not": new(script).create(0, 1, a1).rename(2, 9, 0, a2).read(3, 4, a1).read(5, 6, a2).read(7, 8, a2),
		"an unknown write was done":            new(script).create(0, 1, a1).unknown(2, history.Operation{Kind: history.Patch, ID: "a", Name: "two"}).read(3, 4, a2),
		"an unknown write is done late": new(script).create(0, 1, a1).unknown(2, history.Operation{Kind: history.Patch, ID: "a", Name: "two"}).
			read(3, 4, a1).read(500, 501, a2),
		"an unknown write is never done": new(script).create(0, 1, a1).unknown(2, history.Operation{Kind: history.Patch, ID: "a", Name: "two"}).
			rename(3, 4, 1, a2b).rename(5, 6, 2, a3).read(7, 8, a3),
		"an unknown create holds its address": new(script).unknown(0, history.Operation{Kind: history.Create, Email: "x", Name: "one"}).
			refused(2, 3, history.Operation{Kind: history.Create, Email: "x", Name: "n"}, history.Taken).find(4, 5, "x", a1).rename(6, 7, 1, a2),
		"an address goes from hand to hand": new(script).create(0, 1, a1).
			add(2, 9, history.Operation{Kind: history.Patch, ID: "a", Email: "y", Outcome: history.Done, Entity: entity("a", 2, "y", "one")}).create(3, 8, b1),
		"answers at one position": new(script).create(0, 9, a1).at(1).read(1, 2, a1).at(1).stale().
			missing(10, 19, "a").at(2).stale().remove(10, 19, "a").at(2),
		"a stale read shows a state that was": new(script).create(0, 1, a1).at(1).rename(2, 3, 0, a2).at(2).read(4, 5, a1).at(1).stale(),
		"nodes are not of one mind": new(script).create(0, 1, a1).at(1).rename(2, 3, 0, a2).at(2).
			read(4, 5, a2).at(2).by("n").stale().read(6, 7, a1).at(1).by("m").stale(),
		"a node moves on beside a slow answer": new(script).create(0, 1, a1).at(1).rename(2, 3, 0, a2).at(2).
			read(4, 9, a1).at(1).by("n").stale().read(5, 6, a2).at(2).by("n").stale(),
	} {
		if v := s.violations(); len(v) > 0 {
			t.Errorf("%s: got %s, want no violation", name, strings.Join(v, "\n"))
		}
	}
}

// A correct store can't produce these histories. Each has its expected message.
func TestBadHistoriesAreRejected(t *testing.T) {
	const order = "not linearizable"
	for name, c := range map[string]struct {
		s    *script
		said string
	}{
		"lost update":                   {new(script).create(0, 1, a1).rename(2, 3, 1, a2).rename(4, 5, 1, a2b), order},
		"lost update, both at once":     {new(script).create(0, 1, a1).rename(2, 9, 0, a2).rename(2, 9, 0, a2b), order},
		"lost write":                    {new(script).create(0, 1, a1).rename(2, 3, 0, a2).read(4, 5, a1), order},
		"lost entity":                   {new(script).create(0, 1, a1).missing(2, 3, "a"), order},
		"stale read":                    {new(script).create(0, 1, a1).rename(2, 9, 0, a2).read(3, 4, a2).read(5, 6, a1), order},
		"read of what was never there":  {new(script).create(0, 1, a1).read(2, 3, a2), order},
		"read from the future":          {new(script).create(0, 1, a1).read(2, 3, a2).rename(4, 5, 0, a2), order},
		"duplicate address":             {new(script).create(0, 1, a1).create(2, 3, b1), order},
		"duplicate address, at once":    {new(script).create(0, 9, a1).create(0, 9, b1), order},
		"address without a holder":      {new(script).refused(0, 1, history.Operation{Kind: history.Create, Email: "x", Name: "n"}, history.Taken), order},
		"address not freed":             {new(script).create(0, 1, a1).remove(2, 3, "a").refused(4, 5, history.Operation{Kind: history.Create, Email: "x", Name: "n"}, history.Taken), order},
		"version gap":                   {new(script).create(0, 1, a1).rename(2, 3, 0, a3), order},
		"first version is not one":      {new(script).create(0, 1, a2), order},
		"resurrected entity":            {new(script).create(0, 1, a1).remove(2, 3, "a").read(4, 5, a1), order},
		"deleted twice":                 {new(script).create(0, 1, a1).remove(2, 3, "a").remove(4, 5, "a"), order},
		"a demand that did not hold":    {new(script).create(0, 1, a1).rename(2, 3, 7, a2), order},
		"a demand refused that held":    {new(script).create(0, 1, a1).refused(2, 3, history.Operation{Kind: history.Patch, ID: "a", Name: "n", Match: 1, Entity: history.Entity{Version: 1}}, history.Mismatch), order},
		"unknown write done twice":      {new(script).create(0, 1, a1).unknown(2, history.Operation{Kind: history.Patch, ID: "a", Name: "two"}).read(3, 4, a2).read(5, 6, entity("a", 3, "x", "two")), order},
		"unknown write seen, then gone": {new(script).create(0, 1, a1).unknown(2, history.Operation{Kind: history.Patch, ID: "a", Name: "two"}).read(3, 4, a2).read(5, 6, a1), order},
		"found by a lost address":       {new(script).create(0, 1, a1).find(2, 3, "x", history.Entity{}), order},
		"one position, two states":      {new(script).create(0, 1, a1).at(1).read(2, 3, a2).at(2).stale().read(2, 3, a2b).at(2).stale(), "differs at one position"},
		"one version, two contents":     {new(script).create(0, 1, a1).at(1).read(2, 3, a2).at(2).stale().read(2, 3, a2b).at(3).stale(), "two contents"},
		"version back with position":    {new(script).create(0, 1, a1).at(1).rename(2, 3, 0, a2).at(2).read(4, 5, a1).at(3).stale(), "goes back"},
		"version before its write":      {new(script).create(0, 1, a1).at(1).read(2, 9, a2).at(4).stale().rename(2, 9, 0, a2).at(5), "before the position"},
		"gone before its deletion":      {new(script).create(0, 1, a1).at(1).missing(2, 9, "a").at(4).stale().remove(2, 9, "a").at(5), "gone before"},
		"resurrected on a stale read":   {new(script).create(0, 1, a1).at(1).remove(2, 3, "a").at(2).read(4, 5, a1).at(3).stale(), "lives at a later position"},
		"restored with another content": {new(script).create(0, 1, a1).rename(2, 3, 1, a2).remove(4, 5, "a").restore(6, 7, 2, a4), order},
		"restored with an old version":  {new(script).create(0, 1, a1).rename(2, 3, 1, a2).remove(4, 5, "a").restore(6, 7, 1, a2), order},
		"restored without its past":     {new(script).create(0, 1, a1).remove(2, 3, "a").refused(4, 5, history.Operation{Kind: history.Restore, ID: "a", Of: 1}, history.Missing), order},
		"restored with a taken address": {new(script).create(0, 1, a1).rename(2, 3, 1, a2).remove(4, 5, "a").create(6, 7, b1).restore(8, 9, 1, a4), order},
		"restore lost":                  {new(script).create(0, 1, a1).rename(2, 3, 1, a2).remove(4, 5, "a").restore(6, 7, 1, a4).missing(8, 9, "a"), order},
		"lives before it is restored":   {new(script).create(0, 1, a1).at(1).remove(2, 3, "a").at(2).unknown(3, history.Operation{Kind: history.Restore, ID: "a", Of: 1}).read(4, 5, a2).at(3).stale(), "from before its deletion"},
		"a node that goes back":         {new(script).create(0, 1, a1).at(1).rename(2, 3, 0, a2).at(2).read(4, 5, a2).at(2).by("n").stale().read(6, 7, a1).at(1).by("n").stale(), "went back"},
	} {
		v := c.s.violations()
		if len(v) == 0 || !strings.Contains(v[0], c.said) {
			t.Errorf("%s: got %q, want one that says %q", name, v, c.said)
		}
	}
}

// A write that changes nothing creates no version, unless it has a key.
func TestAChangeThatChangesNothing(t *testing.T) {
	for _, keyed := range []bool{false, true} {
		s := new(script).create(0, 1, a1).at(1)
		s.operations = append(s.operations, history.Operation{
			Group: s.operations[0].Group, Kind: history.Patch, ID: a1.ID, Email: a1.Email, Keyed: keyed, Start: 2, End: 3,
			Outcome: history.Done, Entity: a1, Position: 5, Fresh: true,
		})
		if v := s.violations(); (len(v) > 0) != keyed {
			t.Errorf("with a key %v: got %q, want a violation: %v", keyed, v, keyed)
		}
	}
}

// A search that does not end in time must not count as a success.
func TestAnUndecidedHistoryIsNoPass(t *testing.T) {
	s := new(script)
	for i := range 60 {
		s.create(0, 10_000, entity(fmt.Sprint("id", i), 1, fmt.Sprint("e", i), "n"))
	}
	s.read(0, 10_000, a1)
	v := history.Check(s.operations, history.Options{Timeout: time.Millisecond})
	if len(v) != 1 || !strings.Contains(v[0], "not decided") {
		t.Errorf("got %q, want one violation that says \"not decided\"", v)
	}
}

// Each group is checked separately, and an invalid one is named and shown.
func TestTheBadGroupIsShown(t *testing.T) {
	s := new(script).create(0, 1, a1).read(2, 3, a1).create(0, 1, entity("c", 1, "z", "cat")).missing(2, 3, "c")
	s.operations[2].Group, s.operations[3].Group = "h", "h"
	v := history.Check(s.operations, history.Options{Dir: t.TempDir()})
	if len(v) != 1 || !strings.HasPrefix(v[0], "group h is not linearizable") || !strings.Contains(v[0], "! ") || !strings.Contains(v[0], "group-h.html") {
		t.Errorf("got %q, want one violation that names and shows group h", v)
	}
}
