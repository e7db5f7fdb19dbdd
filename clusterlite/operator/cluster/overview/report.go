// Package overview gathers the state of a cluster: its topic, its brokers and its nodes. It is
// what clusterlite status shows.
package overview

import (
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
)

// A Report is the state of a cluster. Its JSON is for programs, so its names must not
// change.
type Report struct {
	// Healthy reports whether Problems is empty.
	Healthy bool `json:"healthy"`
	// Problems describe what is wrong, in one sentence each.
	Problems []string `json:"problems"`
	Topic    Topic    `json:"topic"`
	Brokers  []Broker `json:"brokers"`
	// BrokerError says why the broker could not be asked. Then Topic has only its name, and
	// Nodes are those that were found without the broker.
	BrokerError string `json:"broker_error,omitempty"`
	Nodes       []Node `json:"nodes"`
}

// Topic is the log.
type Topic struct {
	Name  string          `json:"name"`
	ID    string          `json:"id"`
	Start events.Position `json:"start"`
	End   events.Position `json:"end"`
	// Leader is the id of the leading broker, or -1 for none.
	Leader   int32   `json:"leader"`
	Replicas []int32 `json:"replicas"`
	InSync   []int32 `json:"in_sync"`
	// MinInSync is the number of replicas that must hold an event before it is
	// acknowledged; 0 if unknown.
	MinInSync int `json:"min_in_sync"`
}

// Broker is a broker that lives.
type Broker struct {
	ID         int32  `json:"id"`
	Addr       string `json:"addr"`
	Controller bool   `json:"controller"`
}

// State is the state of a node.
type State string

// The states.
const (
	// Ready: it serves.
	Ready State = "ready"
	// Unready: it answers, but does not serve; Reason says why.
	Unready State = "unready"
	// Unreachable: it does not answer, but has announced itself recently.
	Unreachable State = "unreachable"
	// Gone: it does not answer, and has not announced itself for a long time.
	Gone State = "gone"
	// Failed: it stopped because it can't continue.
	Failed State = "failed"
	// Left: it was asked to stop, and did. That is not a problem.
	Left State = "left"
)

// Node is one node. Fields that only the node itself can report are missing if it does not
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
	// Position is the node's current position, or the last one that it announced.
	Position events.Position  `json:"position"`
	Lag      *projections.Lag `json:"lag,omitempty"`
	// Rate is the number of records per second that it applied recently.
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
