// Package overview gathers how a cluster is: its topic, its brokers, its nodes.
package overview

import (
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
)

// A Report is how a cluster is. Its JSON is for programs: names stay.
type Report struct {
	// Healthy reports whether Problems is empty.
	Healthy bool `json:"healthy"`
	// Problems are what is wrong, a sentence each.
	Problems []string `json:"problems"`
	Topic    Topic    `json:"topic"`
	Brokers  []Broker `json:"brokers"`
	// BrokerError says why the broker could not be asked. Topic then has no more than its
	// name, and Nodes are those that were found without it.
	BrokerError string `json:"broker_error,omitempty"`
	Nodes       []Node `json:"nodes"`
}

// Topic is the log.
type Topic struct {
	Name  string          `json:"name"`
	ID    string          `json:"id"`
	Start events.Position `json:"start"`
	End   events.Position `json:"end"`
	// Leader is the broker that leads it, -1 for none.
	Leader   int32   `json:"leader"`
	Replicas []int32 `json:"replicas"`
	InSync   []int32 `json:"in_sync"`
	// MinInSync is how many must hold an event before it is acknowledged; 0 if unknown.
	MinInSync int `json:"min_in_sync"`
}

// Broker is a broker that lives.
type Broker struct {
	ID         int32  `json:"id"`
	Addr       string `json:"addr"`
	Controller bool   `json:"controller"`
}

// State is how a node is, in a word.
type State string

// The states.
const (
	// Ready: it serves.
	Ready State = "ready"
	// Unready: it answers, and says why it doesn't serve.
	Unready State = "unready"
	// Unreachable: it does not answer here, and has been heard of lately.
	Unreachable State = "unreachable"
	// Gone: it does not answer, and nothing was heard of it for long.
	Gone State = "gone"
	// Failed: it stopped because it can't continue.
	Failed State = "failed"
	// Left: it was asked to stop, and did. That is no problem.
	Left State = "left"
)

// Node is one node. What is known only from the node itself is missing if it does not
// answer.
type Node struct {
	Node    string `json:"node"`
	Role    string `json:"role"`
	State   State  `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Version string `json:"version"`
	Admin   string `json:"admin"`
	// Heard is when the node last announced itself, by its own clock.
	Heard time.Time `json:"heard"`
	// Position is the node's, or the one that it announced last.
	Position events.Position  `json:"position"`
	Lag      *projections.Lag `json:"lag,omitempty"`
	// Rate is how many records a second it applied lately.
	Rate    float64 `json:"rate"`
	TopicID string  `json:"topic_id,omitempty"`
	// Voids is how many records it found void.
	Voids    int64             `json:"voids"`
	Entities map[string]int64  `json:"entities,omitempty"`
	Digests  map[string]string `json:"digests,omitempty"`
	Rebuild  *Rebuild          `json:"rebuild,omitempty"`
	// Disk is the file system of the node's data folder.
	Disk *Disk `json:"disk,omitempty"`
}

// Disk is how many bytes a file system has.
type Disk struct {
	Free int64 `json:"free_bytes"`
	Size int64 `json:"size_bytes"`
}

// Rebuild is a rebuild of a node's projection, as the node reports it.
type Rebuild struct {
	State    string          `json:"state"`
	Position events.Position `json:"position"`
	End      events.Position `json:"end"`
	Error    string          `json:"error,omitempty"`
}
