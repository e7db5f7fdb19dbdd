package comparison

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/clusterlite/operator/models/digests"
	"github.com/clusterlite/clusterlite/service/node"
)

// conclude describes the findings in sentences.
func (r *Report) conclude() {
	for _, n := range r.Nodes {
		if n.Error != "" {
			r.differ("node %s could not be checked: %s", n.Node, n.Error)
		}
	}
	r.concludeDigests()
	for _, n := range r.Nodes {
		if n.Audit != nil {
			r.concludeAudit(n)
		}
		if n.Deep != nil {
			r.concludeDeep(n)
		}
	}
	for _, m := range r.Models {
		if m.Result != digests.Equal {
			r.differ("the read model %s is %s on all nodes: %s", m.Model, result[m.Result], m.Detail)
		}
	}
	r.Equal = len(r.Differences) == 0
}

// result describes the results of models that are not equal.
var result = map[string]string{digests.Different: "not the same", digests.Unknown: "not known to be the same"}

func (r *Report) differ(format string, args ...any) {
	r.Differences = append(r.Differences, fmt.Sprintf(format, args...))
}

// concludeDigests reports, for each collection, which nodes differ from others.
func (r *Report) concludeDigests() {
	held := map[string]map[node.Summary][]string{} // collection → digest → nodes
	for _, n := range r.Nodes {
		for _, collection := range r.collections() {
			if n.Digests == nil {
				continue
			}
			if held[collection] == nil {
				held[collection] = map[node.Summary][]string{}
			}
			what := n.Digests[collection]
			held[collection][what] = append(held[collection][what], n.Node)
		}
	}
	for _, collection := range slices.Sorted(maps.Keys(held)) {
		if len(held[collection]) < 2 {
			continue
		}
		var parts []string
		for what, who := range held[collection] {
			parts = append(parts, strings.Join(who, ", ")+" "+plural(len(who), "has", "have")+" "+summaryText(what))
		}
		slices.Sort(parts)
		r.differ("%s differs at position %d: %s", collection, r.Position, strings.Join(parts, "; "))
	}
}

// collections returns the collections of all nodes.
func (r *Report) collections() []string {
	names := map[string]bool{}
	for _, n := range r.Nodes {
		for name := range n.Digests {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (r *Report) concludeAudit(n Node) {
	for _, name := range slices.Sorted(maps.Keys(n.Audit.Collections)) {
		switch a := n.Audit.Collections[name]; {
		case a.Kept != a.Found:
			r.differ("node %s: the rows of %s were changed by something else than the log: they are %s, and should be %s", n.Node, name, summaryText(a.Found), summaryText(a.Kept))
		case a.ClaimsDiffer:
			r.differ("node %s: the index of unique values of %s does not match its rows", n.Node, name)
		}
	}
	if n.Audit.Journal != "" {
		r.differ("node %s: %s", n.Node, n.Audit.Journal)
	}
}

func (r *Report) concludeDeep(n Node) {
	for _, name := range n.Deep.names() {
		d := n.Deep.Collections[name]
		var first []string
		for _, e := range d.First {
			first = append(first, e.text())
		}
		more := ""
		if all := d.Missing + d.Unexpected + d.Changed; all > int64(len(d.First)) {
			more = ", …"
		}
		r.differ("node %s: %s is not what the log makes of it up to position %d: %d changed, %d missing, %d unexpected: %s%s",
			n.Node, name, n.Deep.Position, d.Changed, d.Missing, d.Unexpected, strings.Join(first, ", "), more)
	}
}

func (e Differing) text() string {
	switch e.How {
	case "missing":
		return fmt.Sprintf("%s missing (the log: %s)", e.ID, e.Log)
	case "unexpected":
		return fmt.Sprintf("%s unexpected (the node: %s)", e.ID, e.Node)
	default:
		return fmt.Sprintf("%s changed (the node: %s, the log: %s)", e.ID, e.Node, e.Log)
	}
}

func summaryText(s node.Summary) string {
	if s.Digest == "" {
		return "nothing"
	}
	return fmt.Sprintf("%d %s with digest %s", s.Entities, plural(int(s.Entities), "entity", "entities"), short(s.Digest))
}

// short returns enough of a digest for a person to compare.
func short(digest string) string {
	const maximum = 16
	if len(digest) > maximum {
		return digest[:maximum] + "…"
	}
	return digest
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
