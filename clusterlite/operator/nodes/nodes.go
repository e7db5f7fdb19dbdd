// Package nodes finds the nodes of a cluster and talks to their admin listeners. The subcommands
// use it.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// A Node is a node known to the broker, and a client of its admin listener. It is safe for
// concurrent use.
type Node struct {
	roster.Entry
}

// All returns the nodes known to the broker, sorted by name, including dead ones.
func All(ctx context.Context, log *eventlog.Log) ([]Node, error) {
	entries, err := roster.List(ctx, log)
	if err != nil {
		return nil, err
	}
	all := make([]Node, len(entries))
	for i, e := range entries {
		all[i] = Node{e}
	}
	return all, nil
}

// ErrNone means that no node has announced that it runs.
var ErrNone = errors.New("no running node is known to the broker")

// Living returns the nodes that have not announced that they stopped.
func Living(all []Node) []Node {
	return slices.DeleteFunc(slices.Clone(all), func(n Node) bool { return n.State != roster.Running })
}

// ForReads returns the nodes with these names or, without names, the running nodes that serve reads:
// all but command services. If there are none, the error says that they are missing; which describes
// them. The context that it returns carries the credentials for their admin listeners.
func ForReads(ctx context.Context, access subcommand.Access, kafka settings.Kafka, out subcommand.Streams, which string, names ...string) (context.Context, []Node, error) {
	ctx, log, err := access.OpenLog(ctx, kafka, out)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = log.Close() }() // it was only read
	all, err := All(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	if len(names) > 0 {
		all, err = Select(all, names...)
		return ctx, all, err
	}
	running := slices.DeleteFunc(Living(all), func(n Node) bool { return n.Role == "command" })
	if len(running) == 0 {
		return nil, nil, fmt.Errorf("no running node %s is known to the broker", which)
	}
	return ctx, running, nil
}

// Select returns the nodes with these names. If one is missing, the error contains its name and
// the names of the known nodes.
func Select(all []Node, names ...string) ([]Node, error) {
	var selected []Node
	for _, name := range names {
		i := slices.IndexFunc(all, func(n Node) bool { return n.Node == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown node %s; the broker knows: %s", name, strings.Join(Names(all), ", "))
		}
		selected = append(selected, all[i])
	}
	return selected, nil
}

// Names returns the names of nodes.
func Names(all []Node) []string {
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.Node
	}
	return names
}
