// Package comparison checks whether all nodes hold the same data, and whether it matches
// the log.
package comparison

import (
	"github.com/clusterlite/clusterlite/clusterlite/operator/models/digests"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node"
)

// A Report is the result of a comparison. Its JSON is for programs, so its names must not
// change.
type Report struct {
	// Equal reports whether Differences is empty.
	Equal bool `json:"equal"`
	// Differences describe, in one sentence each, what differs and what could not be
	// checked.
	Differences []string `json:"differences"`
	// Position is the position at which the nodes' digests were compared.
	Position events.Position `json:"position"`
	Nodes    []Node          `json:"nodes"`
	// Models are the read models in SQL of the nodes that answered. Each is compared at the last
	// event that changed it.
	Models []digests.Compared `json:"models,omitempty"`
}

// Node is the result for one node.
type Node struct {
	Node string `json:"node"`
	Role string `json:"role,omitempty"`
	// Error is the reason why the node could not be checked.
	Error string `json:"error,omitempty"`
	// Digests are the node's digests at the common position.
	Digests map[string]node.Summary `json:"digests,omitempty"`
	// Audit compares the node's digests with its rows.
	Audit *node.Audit `json:"audit,omitempty"`
	// Deep compares the node's rows with those built from the log.
	Deep *Deep `json:"deep,omitempty"`
}

// Deep compares a node's rows at a position with those built from the log up to there.
type Deep struct {
	Position    events.Position       `json:"position"`
	Collections map[string]Difference `json:"collections"`
}

// Difference describes how a collection differs. All counts are zero if it does not.
type Difference struct {
	// Rows is the number of rows built from the log, including tombstones.
	Rows int64 `json:"rows"`
	// Missing counts rows that the node lacks, Unexpected rows that only the node has, and
	// Changed rows that differ from those built from the log.
	Missing    int64 `json:"missing"`
	Unexpected int64 `json:"unexpected"`
	Changed    int64 `json:"changed"`
	// First lists the first differing entities, sorted by id.
	First []Differing `json:"first,omitempty"`
}

// Differing is one entity that differs.
type Differing struct {
	ID string `json:"id"`
	// How is missing, unexpected or changed.
	How string `json:"how"`
	// Node and Log describe the row on each side; empty if that side has none.
	Node string `json:"node,omitempty"`
	Log  string `json:"log,omitempty"`
}

func (d Difference) none() bool { return d.Missing+d.Unexpected+d.Changed == 0 }
