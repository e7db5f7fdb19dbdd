// Package overview gathers the state of a cluster: its topic, its brokers and its nodes. It
// does the work of clusterlite status.
package overview

import (
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
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
	// BrokerError is the reason why the broker could not be asked. In that case Topic has only
	// its name, and Nodes are those that were found without the broker.
	BrokerError string `json:"broker_error,omitempty"`
	Nodes       []Node `json:"nodes"`
}

// Topic describes the log.
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

// Broker is a running broker.
type Broker struct {
	ID         int32  `json:"id"`
	Addr       string `json:"addr"`
	Controller bool   `json:"controller"`
}

// State is the state of a node.
type State string

// These are the states of nodes.
const (
	// Ready: the node serves.
	Ready State = "ready"
	// Unready: the node answers, but does not serve. Reason explains why.
	Unready State = "unready"
	// Unreachable: the node does not answer, but has announced itself recently.
	Unreachable State = "unreachable"
	// Gone: the node does not answer, and has not announced itself for a long time.
	Gone State = "gone"
	// Failed: the node stopped because it can't continue.
	Failed State = "failed"
	// Left: the node stopped on request. This is not a problem.
	Left State = "left"
)

// Node describes one node. Fields that only the node itself can report are missing if it does
// not answer.
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
	// Voids is how many records the node has found void.
	Voids    int64             `json:"voids"`
	Entities map[string]int64  `json:"entities,omitempty"`
	Digests  map[string]string `json:"digests,omitempty"`
	Rebuild  *Rebuild          `json:"rebuild,omitempty"`
	// Disk is the file system of the node's data folder.
	Disk *Disk `json:"disk,omitempty"`
	// Models are the node's read models in SQL, and Webhooks the webhooks that it could deliver.
	Models   []modelset.Status `json:"models,omitempty"`
	Webhooks []webhooks.Status `json:"webhooks,omitempty"`
}

// Disk holds sizes of a file system in bytes.
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
