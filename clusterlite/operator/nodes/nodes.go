// Package nodes finds the nodes of a cluster and talks to their admin listeners. The subcommands
// in cluster and readmodel use it.
package nodes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/node/roster"
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

// Living returns the nodes that have not announced that they stopped.
func Living(all []Node) []Node {
	return slices.DeleteFunc(slices.Clone(all), func(n Node) bool { return n.State != roster.Running })
}

// Queries returns the nodes that have not announced that they stopped and serve reads: all but
// command services.
func Queries(all []Node) []Node {
	return slices.DeleteFunc(Living(all), func(n Node) bool { return n.Role == "command" })
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
