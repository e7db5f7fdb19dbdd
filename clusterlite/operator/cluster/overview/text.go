package overview

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/clusterlite/clusterlite/events"
)

// Text writes the report as text. It summarizes nodes that have left in one line.
func (r Report) Text(w io.Writer) error { return r.text(w, false) }

// Whole is a report whose table includes the nodes that have left.
type Whole struct{ Report }

// Text writes the report as text.
func (r Whole) Text(w io.Writer) error { return r.text(w, true) }

func (r Report) text(w io.Writer, left bool) error {
	var b bytes.Buffer
	if r.BrokerError != "" {
		_, _ = fmt.Fprintf(&b, "topic    %s is not shown: %s\n\n", r.Topic.Name, r.BrokerError)
	} else {
		r.brokerText(&b)
	}
	shown, gone := r.Nodes, []string(nil)
	if !left {
		shown, gone = withoutLeft(r.Nodes)
	}
	nodesText(&b, shown, len(gone))
	_ = LeftText(&b, gone) // writes to memory never fail
	collectionsText(&b, r.Nodes)
	webhooksText(&b, r.Nodes)
	if r.Healthy {
		_, _ = fmt.Fprintln(&b, "\nAll is well.")
	} else {
		_, _ = fmt.Fprintf(&b, "\nProblems:\n")
	}
	for _, p := range r.Problems {
		_, _ = fmt.Fprintf(&b, "  - %s\n", p)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// withoutLeft separates the nodes that have left from the others, and returns their names.
func withoutLeft(all []Node) (others []Node, left []string) {
	for _, n := range all {
		if n.State == Left {
			left = append(left, n.Node)
		} else {
			others = append(others, n)
		}
	}
	return others, left
}

// LeftText writes a line about the nodes that have left, if any.
func LeftText(w io.Writer, names []string) error {
	const maximum = 5
	if len(names) == 0 {
		return nil
	}
	have, listed := "nodes have", strings.Join(names[:min(maximum, len(names))], ", ")
	if len(names) == 1 {
		have = "node has"
	}
	if len(names) > maximum {
		listed += ", …"
	}
	_, err := fmt.Fprintf(w, "%d %s left (%s): use --all to show them, or clusterlite nodes forget --left to remove them\n", len(names), have, listed)
	return err
}

func (r Report) brokerText(b *bytes.Buffer) {
	t := r.Topic
	_, _ = fmt.Fprintf(b, "topic    %s, id %s, end %d; led by broker %s; replicas on brokers %s, in sync %s\n", t.Name, or(t.ID, "unknown"), t.End, or(id(t.Leader), "none"), list(t.Replicas), list(t.InSync))
	_, _ = fmt.Fprintf(b, "brokers  %s\n\n", brokersText(r.Brokers))
}

func nodesText(w io.Writer, all []Node, left int) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NODE\tROLE\tSTATE\tPOSITION\tLAG\tRATE\tVOIDS\tREBUILD\tVERSION\tADMIN")
	for _, n := range all {
		rate, voids := "-", "-"
		if n.Entities != nil {
			rate, voids = fmt.Sprintf("%.0f/s", n.Rate), strconv.FormatInt(n.Voids, 10)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", n.Node, n.Role, n.State, n.Position, lagText(n), rate, voids, rebuildText(n.Rebuild), n.Version, n.Admin)
	}
	if len(all)+left == 0 {
		_, _ = fmt.Fprintln(table, "no node has announced itself")
	}
	_ = table.Flush() // writes to memory never fail
}

func lagText(n Node) string {
	switch {
	case n.Lag == nil:
		return "-"
	case n.Lag.Events == 0:
		return "0"
	case n.Lag.Seconds == 0:
		return strconv.FormatInt(n.Lag.Events, 10)
	default:
		return fmt.Sprintf("%d (%.1f s)", n.Lag.Events, n.Lag.Seconds)
	}
}

func rebuildText(r *Rebuild) string {
	switch {
	case r == nil:
		return "-"
	case r.State == "running" && r.End > 0:
		return fmt.Sprintf("running, %d%%", 100*r.Position/r.End)
	default:
		return r.State
	}
}

// collectionsText shows each collection once for each distinct digest, with the nodes that
// have it.
func collectionsText(w io.Writer, all []Node) {
	type seen struct {
		collection, digest string
		entities           int64
		position           events.Position
		nodes              []string
	}
	var rows []seen
	for _, n := range all {
		for collection, digest := range n.Digests {
			i := slices.IndexFunc(rows, func(s seen) bool {
				return s.collection == collection && s.digest == digest && s.position == n.Position
			})
			if i < 0 {
				i = len(rows)
				rows = append(rows, seen{collection, digest, n.Entities[collection], n.Position, nil})
			}
			rows[i].nodes = append(rows[i].nodes, n.Node)
		}
	}
	if len(rows) == 0 {
		return
	}
	slices.SortFunc(rows, func(a, b seen) int {
		if c := strings.Compare(a.collection, b.collection); c != 0 {
			return c
		}
		return strings.Compare(strings.Join(a.nodes, " "), strings.Join(b.nodes, " "))
	})
	const short = 16 // of 64 digits: enough for a person to compare
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\nCOLLECTION\tENTITIES\tDIGEST\tAT\tON")
	for _, s := range rows {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s…\t%d\t%s\n", s.collection, s.entities, s.digest[:min(short, len(s.digest))], s.position, strings.Join(s.nodes, ", "))
	}
	_ = table.Flush() // writes to memory never fail
}

func brokersText(all []Broker) string {
	var parts []string
	for _, b := range all {
		text := fmt.Sprintf("%d at %s", b.ID, b.Addr)
		if b.Controller {
			text += " (controller)"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// id returns an empty string for no broker.
func id(n int32) string {
	if n < 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

func list(ids []int32) string {
	var parts []string
	for _, n := range ids {
		parts = append(parts, id(n))
	}
	return or(strings.Join(parts, ","), "none")
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
