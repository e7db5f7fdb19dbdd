package history

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Options configure a check.
type Options struct {
	// Timeout is the maximum duration of the search in one group. Zero means one minute. A
	// group that is undecided by then counts as a violation, because an undecided history
	// proves nothing. Such groups must be shorter.
	Timeout time.Duration
	// Dir is the folder for an HTML page about each group that is not linearizable. Empty means
	// that no pages are written.
	Dir string
}

// Check returns the answers that a correct store could not have given:
//
//   - Each group is linearizable: all fresh answers fit one order of all operations, in
//     which none stands before one that had ended when it began.
//   - Each answer, fresh or not, shows the state at the position that it names.
//   - The positions that one node names never go back.
//
// An empty list means that nothing is wrong.
func Check(operations []Operation, options Options) []string {
	if options.Timeout == 0 {
		options.Timeout = time.Minute
	}
	groups := map[string][]Operation{}
	for _, o := range operations {
		groups[o.Group] = append(groups[o.Group], o)
	}
	var names []string
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)
	var violations []string
	for _, name := range names {
		group := groups[name]
		nameUnknown(group)
		if v := linearizable(name, group, options); v != "" {
			violations = append(violations, v)
		}
		violations = append(violations, atPositions(name, group)...)
	}
	return append(violations, neverBack(operations)...)
}

// nameUnknown assigns ids to the entities of creates with an unknown outcome if a later
// operation saw them. It recognizes an entity by its first name, which no other operation
// writes. Entities that no operation saw get an arbitrary id.
func nameUnknown(group []Operation) {
	met := map[string]string{}
	for _, o := range group {
		if o.Entity.Version == 1 && (o.Kind == Read || o.Kind == Find) {
			met[o.Entity.Name] = o.Entity.ID
		}
	}
	for i, o := range group {
		if o.Kind != Create || o.Outcome != Unknown {
			continue
		}
		if group[i].Entity.ID = met[o.Name]; group[i].Entity.ID == "" {
			group[i].Entity.ID = "never met: " + o.Name
		}
	}
}

// linearizable checks one group.
func linearizable(name string, group []Operation, options Options) string {
	var judged []porcupine.Operation
	for _, o := range group {
		if !o.Fresh && (!o.write() || o.Outcome != Done && o.Outcome != Unknown) {
			continue
		}
		end := int64(o.End)
		if o.Outcome == Unknown {
			end = math.MaxInt64
		}
		judged = append(judged, porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Start), Return: end})
	}
	result, info := porcupine.CheckOperationsVerbose(model, judged, options.Timeout)
	switch result {
	case porcupine.Ok:
		return ""
	case porcupine.Unknown:
		return fmt.Sprintf("group %s: not decided within %s, with %d operations: it must be shorter", name, options.Timeout, len(judged))
	}
	v := fmt.Sprintf("group %s is not linearizable: %s", name, story(judged, info))
	if options.Dir != "" {
		path := filepath.Join(options.Dir, "group-"+name+".html")
		if err := porcupine.VisualizePath(model, info, path); err == nil {
			v += "\nsee " + path
		}
	}
	return v
}

// story shows the operations around the first one that does not fit into the longest valid
// order.
func story(judged []porcupine.Operation, info porcupine.LinearizationInfo) string {
	longest := 0
	var placed map[int]bool
	for _, partition := range info.PartialLinearizations() {
		for _, order := range partition {
			if len(order) > longest {
				longest, placed = len(order), map[int]bool{}
				for _, i := range order {
					placed[i] = true
				}
			}
		}
	}
	var lines []string
	for i, o := range judged {
		mark := "  "
		if !placed[i] {
			mark = "! "
		}
		lines = append(lines, fmt.Sprintf("%020d%s%s", o.Call, mark, o.Input))
	}
	slices.Sort(lines) // by their start
	for i := range lines {
		lines[i] = lines[i][20:]
	}
	return fmt.Sprintf("of %d operations at most %d fit one order; those that don't are marked\n%s", len(judged), longest, strings.Join(lines, "\n"))
}
