package comparison

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/node"
)

// shownDiffering is the maximum number of entities of a collection that are listed.
const shownDiffering = 10

// merge walks through the rows of the log and those of a node side by side. Both are sorted
// by collection and id.
type merge struct {
	ours   *reads.Tx
	theirs *rowReader
	task   *progress.Task

	found map[string]Difference
	rows  int64
}

func (m *merge) run(ctx context.Context) error {
	m.found = map[string]Difference{}
	names, err := m.ours.Collections(ctx)
	if err != nil {
		return err
	}
	if err := m.theirs.next(); err != nil {
		return err
	}
	for !m.theirs.line.End || len(names) > 0 {
		name := m.nextCollection(names)
		if len(names) > 0 && names[0] == name {
			names = names[1:]
		}
		if m.theirs.line.Collection == name {
			if err := m.theirs.next(); err != nil { // read its first row
				return err
			}
		}
		if err := m.collection(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// nextCollection returns the first remaining collection of either side.
func (m *merge) nextCollection(names []string) string {
	switch {
	case len(names) == 0:
		return m.theirs.line.Collection
	case m.theirs.line.End:
		return names[0]
	default:
		return min(names[0], m.theirs.line.Collection)
	}
}

// collection compares one collection. If the node does not have it, the current line starts
// another one and is not a row.
func (m *merge) collection(ctx context.Context, name string) error {
	var d Difference
	err := m.ours.Rows(ctx, name, func(row reads.Row) error {
		d.Rows++
		ours := describe(row)
		for m.theirs.isRow() && before(m.theirs.line, ours) {
			d.note("unexpected", m.theirs.line, node.RowLine{})
			if err := m.nextRow(); err != nil {
				return err
			}
		}
		if !m.theirs.isRow() || before(ours, m.theirs.line) {
			d.note("missing", node.RowLine{}, ours)
			return nil
		}
		if m.theirs.line != ours {
			d.note("changed", m.theirs.line, ours)
		}
		return m.nextRow()
	})
	for err == nil && m.theirs.isRow() {
		d.note("unexpected", m.theirs.line, node.RowLine{})
		err = m.nextRow()
	}
	m.found[name] = d
	return err
}

func (m *merge) nextRow() error {
	m.rows++
	m.task.Set(m.rows)
	return m.theirs.next()
}

// describe returns a row in the form in which nodes describe theirs.
func describe(r reads.Row) node.RowLine {
	return node.RowLine{ID: r.ID, Version: r.Version, Deleted: r.Deleted, Digest: r.Digest.String()}
}

func before(a, b node.RowLine) bool { return strings.Compare(a.ID, b.ID) < 0 }

// note counts a differing row, and lists it if it is one of the first.
func (d *Difference) note(how string, theirs, ours node.RowLine) {
	switch how {
	case "missing":
		d.Missing++
	case "unexpected":
		d.Unexpected++
	default:
		d.Changed++
	}
	if len(d.First) < shownDiffering {
		d.First = append(d.First, Differing{ID: max(theirs.ID, ours.ID), How: how, Node: words(theirs), Log: words(ours)})
	}
}

func words(r node.RowLine) string {
	switch {
	case r.Version == 0 && r.Digest == "":
		return ""
	case r.Deleted:
		return fmt.Sprintf("deleted by version %d", r.Version)
	default:
		return fmt.Sprintf("version %d", r.Version)
	}
}

// names returns the collections that differ, sorted.
func (d Deep) names() (names []string) {
	for name, c := range d.Collections {
		if !c.none() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
