package roster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

// An OlderNodeError says that a running node can't read a log format.
type OlderNodeError struct {
	Node, Version string
	// Format is the highest log format that the node can read, and Want the one that it can't.
	Format, Want int
}

// Error names the node and its version.
func (e *OlderNodeError) Error() string {
	return fmt.Sprintf("node %s runs version %s, which reads log formats up to %d and not format %d", e.Node, e.Version, e.Format, e.Want)
}

// Formats knows which log formats all running nodes can read, by what they announce. Safe for
// concurrent use.
type Formats struct {
	log *eventlog.Log

	mu     sync.Mutex
	format int       // all nodes could read it
	until  time.Time // when to ask again
}

// NewFormats returns the formats of the nodes of a log.
func NewFormats(log *eventlog.Log) *Formats { return &Formats{log: log} }

// Read returns nil if every node that runs, and has announced itself lately, can read a log format.
// Otherwise it returns an [OlderNodeError], or the error of [List]. An answer holds as long as the
// announcement of a node.
func (f *Formats) Read(ctx context.Context, format int) error {
	f.mu.Lock()
	known := format <= f.format && time.Now().Before(f.until)
	f.mu.Unlock()
	if known {
		return nil
	}
	nodes, err := List(ctx, f.log)
	if err != nil {
		return err
	}
	if err := Readable(nodes, format, time.Now()); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.format, f.until = format, time.Now().Add(Interval)
	return nil
}

// Readable returns an [OlderNodeError] for the first running node that can't read a log format. Nodes
// that have stopped do not count: they refuse the log when they start again.
func Readable(nodes []Entry, format int, now time.Time) error {
	for _, n := range nodes {
		if n.State == Running && !n.Silent(now) && n.Format < format {
			return &OlderNodeError{n.Node, n.Version, n.Format, format}
		}
	}
	return nil
}
