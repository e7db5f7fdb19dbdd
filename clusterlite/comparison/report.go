// Package comparison finds out whether all nodes hold the same, and whether each holds
// what the log has made.
package comparison

import (
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node"
)

// A Report is what was found. Its JSON is for programs: names stay.
type Report struct {
	// Equal reports whether Differences is empty.
	Equal bool `json:"equal"`
	// Differences are what was found and what could not be checked, a sentence each.
	Differences []string `json:"differences"`
	// Position is where the nodes' digests were compared with each other.
	Position events.Position `json:"position"`
	Nodes    []Node          `json:"nodes"`
}

// Node is one node.
type Node struct {
	Node string `json:"node"`
	Role string `json:"role,omitempty"`
	// Error says why it could not be checked.
	Error string `json:"error,omitempty"`
	// Digests are its collections at the common position.
	Digests map[string]node.Summary `json:"digests,omitempty"`
	// Audit holds its digests against its rows.
	Audit *node.Audit `json:"audit,omitempty"`
	// Deep holds its rows against those that the log makes.
	Deep *Deep `json:"deep,omitempty"`
}

// Deep holds a node's rows at a position against those that the log makes up to there.
type Deep struct {
	Position    events.Position       `json:"position"`
	Collections map[string]Difference `json:"collections"`
}

// Difference is how a collection differs. All counts are zero if it does not.
type Difference struct {
	// Rows is the number of rows built from the log, including tombstones.
	Rows int64 `json:"rows"`
	// Missing are those that the node lacks, Unexpected those that only it has, Changed
	// those that are other than the log makes them.
	Missing    int64 `json:"missing"`
	Unexpected int64 `json:"unexpected"`
	Changed    int64 `json:"changed"`
	// First are the first of them, by id.
	First []Differing `json:"first,omitempty"`
}

// Differing is one entity that differs.
type Differing struct {
	ID string `json:"id"`
	// How is missing, unexpected or changed.
	How string `json:"how"`
	// Node and Log are what either has; empty if it has none.
	Node string `json:"node,omitempty"`
	Log  string `json:"log,omitempty"`
}

func (d Difference) none() bool { return d.Missing+d.Unexpected+d.Changed == 0 }
