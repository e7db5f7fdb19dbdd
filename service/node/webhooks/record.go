package webhooks

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
)

// Collection is the collection of the records. No file can declare it, because its name is reserved.
const Collection = "clusterlite_webhooks"

// The kinds of records. These words, and the names of the members of records, are in the log and never
// change.
const (
	kindProgress = "progress"
	kindControl  = "control"
	kindDelivery = "delivery"
)

// progress is which node delivers a webhook, and how far. Only a node that delivers writes it.
type progress struct {
	Kind    string `json:"kind"`
	Webhook string `json:"webhook"`
	// Topic is the id of the log that the positions belong to.
	Topic string `json:"topic_id"`
	// Node is the node that delivers, empty if it has stopped. Session is that of its process.
	Node    string    `json:"node"`
	Session string    `json:"session"`
	Since   time.Time `json:"since"`
	// Cursor is a position. All events of the webhook up to it were delivered, or have a delivery
	// record.
	Cursor events.Position `json:"cursor"`
	// Rewind is the number of the last rewind that Cursor takes into account.
	Rewind int64 `json:"rewind"`
}

// State is what an operator, or the endpoint, decided about a webhook.
type State string

// The states of a webhook in the log.
const (
	Active   State = "active"
	Paused   State = "paused"
	Disabled State = "disabled"
)

// control is the decision about a webhook. It is written rarely.
type control struct {
	Kind    string    `json:"kind"`
	Webhook string    `json:"webhook"`
	State   State     `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
	// Rewind is the number of times that the cursor was moved, and RewindTo where it was moved last.
	Rewind   int64           `json:"rewind"`
	RewindTo events.Position `json:"rewind_to"`
}

// The states of a delivery in the log. A delivered one has no record.
const (
	retrying = "retrying"
	parked   = "parked"
)

// delivery is an event at or before the cursor that is not delivered yet.
type delivery struct {
	Kind     string          `json:"kind"`
	Webhook  string          `json:"webhook"`
	Event    string          `json:"event"`
	Position events.Position `json:"position"`
	// Of and Entity are the collection and the id of the entity.
	Of       string     `json:"collection"`
	Entity   string     `json:"entity"`
	State    string     `json:"state"`
	Attempts int        `json:"attempts"`
	First    *time.Time `json:"first_attempt"`
	Last     *time.Time `json:"last_attempt"`
	Problem  string     `json:"problem"`
}

// kept is a record with its place in the log.
type kept[T any] struct {
	record  T
	id      string
	version int64 // 0 if the log has none
}

// records are those of one webhook.
type records struct {
	progress   kept[progress]
	control    kept[control]
	deliveries []kept[delivery]
}

// space is the namespace of the ids of records. It never changes.
var space = uuid.MustParse("5b0f2c1e-52f4-5d55-9c11-5a7c2f1d8e60")

func recordID(kind, webhook string) string {
	return uuid.NewSHA1(space, []byte(kind+"/"+webhook)).String()
}

// none returns the records of a webhook that the log does not know.
func none(webhook string) *records {
	return &records{
		progress: kept[progress]{id: recordID(kindProgress, webhook), record: progress{Kind: kindProgress, Webhook: webhook}},
		control:  kept[control]{id: recordID(kindControl, webhook), record: control{Kind: kindControl, Webhook: webhook, State: Active}},
	}
}

// add adds an entity of the collection to the records by webhook. It leaves out what a later version
// may have written.
func add(all map[string]*records, e events.Entity) error {
	var head struct {
		Kind    string `json:"kind"`
		Webhook string `json:"webhook"`
	}
	if err := json.Unmarshal(e.Rendered, &head); err != nil {
		return fmt.Errorf("read a record of webhooks: %w", err)
	}
	of := all[head.Webhook]
	if of == nil {
		of = none(head.Webhook)
		all[head.Webhook] = of
	}
	var err error
	switch head.Kind {
	case kindProgress:
		of.progress.version = e.Version
		err = json.Unmarshal(e.Rendered, &of.progress.record)
	case kindControl:
		of.control.version = e.Version
		err = json.Unmarshal(e.Rendered, &of.control.record)
	case kindDelivery:
		d := kept[delivery]{id: e.ID, version: e.Version}
		err = json.Unmarshal(e.Rendered, &d.record)
		of.deliveries = append(of.deliveries, d)
	}
	if err != nil {
		return fmt.Errorf("read a record of the webhook %s: %w", head.Webhook, err)
	}
	return nil
}
