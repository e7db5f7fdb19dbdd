package comparison

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// Text writes the report as text.
func (r Report) Text(w io.Writer) error {
	var b bytes.Buffer
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NODE\tCOLLECTION\tENTITIES\tDIGEST\tROWS\tLOG")
	for _, n := range r.Nodes {
		if n.Error != "" {
			_, _ = fmt.Fprintf(table, "%s\t-\t-\t-\tnot checked\t-\n", n.Node)
		}
		for _, name := range slices.Sorted(maps.Keys(n.Digests)) {
			d := n.Digests[name]
			_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", n.Node, name, d.Entities, short(d.Digest), n.rowsText(name), n.logText(name))
		}
	}
	_ = table.Flush() // writes to memory never fail
	if len(r.Models) > 0 {
		_, _ = fmt.Fprintln(&b, "\nRead models in SQL:")
	}
	for _, m := range r.Models {
		_ = m.Write(&b)
	}
	if r.Equal {
		_, _ = fmt.Fprintf(&b, "\nEqual: %d of %d nodes at position %d.\n", len(r.Nodes), len(r.Nodes), r.Position)
	} else {
		_, _ = fmt.Fprintln(&b, "\nDifferences:")
	}
	for _, d := range r.Differences {
		_, _ = fmt.Fprintf(&b, "  - %s\n", d)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// rowsText describes whether the rows of a collection match its digest.
func (n Node) rowsText(collection string) string {
	switch {
	case n.Audit == nil:
		return "-"
	case n.Audit.Collections[collection].Differs:
		return "differ"
	default:
		return "hold"
	}
}

// logText describes whether the rows of a collection match the log.
func (n Node) logText(collection string) string {
	switch {
	case n.Deep == nil:
		return "-"
	case n.Deep.Collections[collection].none():
		return "holds"
	default:
		return "differs"
	}
}
