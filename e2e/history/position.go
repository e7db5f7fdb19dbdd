package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// atPositions checks that all answers about an entity that have a position are consistent with
// one log. The entity at a position is the same on every node and at every time. Its versions
// only grow. A version exists from the position of its acknowledgement on, and not before. A
// deleted entity stays deleted unless it is restored. This applies to reads of every consistency, on every node.
func atPositions(name string, group []Operation) []string {
	entities, restored := map[string][]Operation{}, map[string]bool{}
	for _, o := range group {
		// An error has the position of its node at the time of the answer, not the position of
		// the state that it is based on. An empty result shows no entity.
		restored[o.ID] = restored[o.ID] || o.Kind == Restore && o.Outcome <= Done
		showsState := o.Outcome == Done || o.Outcome == Missing && o.Kind == Read
		id := cmp.Or(o.ID, o.Entity.ID)
		if showsState && o.Position != 0 && id != "" {
			entities[id] = append(entities[id], o)
		}
	}
	var violations []string
	for id, answers := range entities {
		slices.SortFunc(answers, func(a, b Operation) int {
			// Sort the write first: the other operations saw its result.
			return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(order(b), order(a)))
		})
		l := life{restored: restored[id]}
		for _, o := range answers {
			if why := l.add(o); why != "" {
				violations = append(violations, fmt.Sprintf("group %s: %s:\n  %s\n  %s", name, why, l.last, o))
				break
			}
		}
	}
	return violations
}

func order(o Operation) int {
	if o.leavesEvent() {
		return 1
	}
	return 0
}

// A life is what the answers say about one entity up to a position.
type life struct {
	last       Operation
	seen, gone bool
	// version is the greatest version so far.
	version int64
	// restored reports that the entity was restored, or may have been, at whatever position.
	restored bool
}

// add adds the next answer, at the last position or a later one. If the answer can't be true,
// it returns the reason.
func (l *life) add(o Operation) string {
	living, lived := o.Entity.Version > 0, l.last.Entity.Version > 0
	same := l.seen && l.last.Position == o.Position
	switch {
	case same && o.Entity != l.last.Entity:
		return "it differs at one position"
	case l.gone && living && !l.restored:
		return "it was gone, and lives at a later position"
	case l.gone && living && o.Entity.Version < l.version+2:
		return "it was gone, and lives at a later position with a version from before its deletion"
	case l.gone && o.Kind == Delete && !l.restored:
		return "it was gone before the position that its deletion was acknowledged with"
	case living && lived && o.Entity.Version < l.last.Entity.Version:
		return "its version goes back while the position grows"
	case living && lived && o.Entity.Version == l.last.Entity.Version && o.Entity != l.last.Entity:
		return "one version has two contents"
	case living && lived && o.leavesEvent() && !same && o.Entity.Version == l.last.Entity.Version:
		return "a version was there before the position that its write was acknowledged with"
	}
	l.gone = !living && (l.gone || o.Kind == Delete || lived)
	l.last, l.seen, l.version = o, true, max(l.version, o.Entity.Version)
	return ""
}

// neverBack checks that the positions of a node's answers never decrease.
func neverBack(operations []Operation) []string {
	nodes := map[string][]Operation{}
	for _, o := range operations {
		if o.Node != "" && o.Position != 0 && !o.write() {
			nodes[o.Node] = append(nodes[o.Node], o)
		}
	}
	var violations []string
	for node, asked := range nodes {
		answered := slices.Clone(asked)
		slices.SortFunc(asked, func(a, b Operation) int { return cmp.Compare(a.Start, b.Start) })
		slices.SortFunc(answered, func(a, b Operation) int { return cmp.Compare(a.End, b.End) })
		var furthest Operation
		i := 0
		for _, o := range asked {
			for ; i < len(answered) && answered[i].End < o.Start; i++ {
				if answered[i].Position > furthest.Position {
					furthest = answered[i]
				}
			}
			if o.Position < furthest.Position {
				violations = append(violations, fmt.Sprintf("node %s went back from position %d to %d within %s:\n  %s\n  %s",
					node, furthest.Position, o.Position, (o.Start-furthest.End).Round(time.Millisecond), furthest, o))
				break
			}
		}
	}
	return violations
}
