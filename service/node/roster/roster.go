// Package roster lets the operator's tool find the nodes. Each node announces itself to the
// broker under its name, with the address of its admin listener. Package node announces, and the
// operator's subcommands list and forget.
package roster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
)

// Interval is how often a running node announces itself.
const Interval = 5 * time.Second

// silence is the maximum time between announcements of a running node. It allows for failed
// announcements and different clocks.
const silence = 6 * Interval

// State is the state that a node announced last.
type State string

// The states of nodes. The broker stores these words, and operators see them.
const (
	// Running: the node runs, or has died without an announcement.
	Running State = "running"
	// Left: the node was asked to stop, and has stopped.
	Left State = "left"
	// Failed: the node stopped because it could not continue.
	Failed State = "failed"
)

// An Entry is one node as it announced itself.
type Entry struct {
	Node string `json:"node"`
	// Position is an approximate position, for people.
	Position events.Position `json:"position"`
	// Role is command, query or all.
	Role    string `json:"role"`
	Version string `json:"version"`
	// Admin is the announced address of the admin listener, host:port.
	Admin string `json:"admin"`
	// TLS says that the admin listener is encrypted.
	TLS   bool  `json:"tls,omitempty"`
	State State `json:"state"`
	// Reason says why the node failed.
	Reason string `json:"reason,omitempty"`
	// At is the time of the announcement, by the node's own clock.
	At time.Time `json:"at"`
	// Format is the highest log format that the node can read.
	Format int `json:"format"`
}

// Silent reports whether a node that should be running has not announced itself for so long
// that it must be dead, hanging or disconnected.
func (e Entry) Silent(now time.Time) bool { return e.State == Running && now.Sub(e.At) > silence }

// note is the content of an announcement. The broker stores the names, and other versions read
// them.
type note struct {
	Role    string    `json:"role"`
	Version string    `json:"version"`
	Admin   string    `json:"admin"`
	State   State     `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"`
	TLS     bool      `json:"tls,omitempty"`
	// Format is missing in the notes of versions that knew only format 1.
	Format int `json:"format,omitempty"`
}

// maxReason keeps a note within the size that a broker accepts.
const maxReason = 1000

// Announce announces the node to the broker. Errors are those of [eventlog.Log.Announce].
func Announce(ctx context.Context, log *eventlog.Log, e Entry) error {
	if len(e.Reason) > maxReason {
		e.Reason = e.Reason[:maxReason] + "…"
	}
	b, err := json.Marshal(note{e.Role, e.Version, e.Admin, e.State, e.Reason, e.At.UTC(), e.TLS, e.Format})
	if err != nil {
		return fmt.Errorf("announce %s: %w", e.Node, err)
	}
	return log.Announce(ctx, eventlog.Announcement{Node: e.Node, Position: e.Position, Note: string(b)})
}

// List returns all nodes known to the broker, sorted by name: running nodes and, for some
// days, nodes that no longer run.
func List(ctx context.Context, log *eventlog.Log) ([]Entry, error) {
	announced, err := log.Announcements(ctx)
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for _, a := range announced {
		if e, ours := entryOf(a); ours {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// Find returns one node. found is false if the broker does not know it.
func Find(ctx context.Context, log *eventlog.Log, node string) (e Entry, found bool, err error) {
	a, found, err := log.Announced(ctx, node)
	if err != nil || !found {
		return Entry{}, false, err
	}
	e, found = entryOf(a)
	return e, found, nil
}

// entryOf reads an announcement. ours is false for that of a foreign group whose name resembles a
// node's.
func entryOf(a eventlog.Announcement) (e Entry, ours bool) {
	var n note
	if json.Unmarshal([]byte(a.Note), &n) != nil || n.Role == "" {
		return Entry{}, false
	}
	return Entry{
		Node: a.Node, Position: a.Position, Role: n.Role, Version: n.Version, Admin: n.Admin, TLS: n.TLS, State: n.State, Reason: n.Reason, At: n.At,
		Format: max(n.Format, 1),
	}, true
}

// Forget removes a node from the roster. found is false if the roster does not have it. A
// running node announces itself again.
func Forget(ctx context.Context, log *eventlog.Log, node string) (found bool, err error) {
	return log.Forget(ctx, node)
}
