package comparison

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/models/digests"
	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/roster"
)

// Options define what to compare.
type Options struct {
	Log *eventlog.Log
	// Names are the nodes to compare; empty means all running nodes.
	Names []string
	// Wait is how long a node may take to reach the common position.
	Wait time.Duration
	// Deep also builds a read model from the log, in a temporary folder, and compares the
	// nodes' rows with it.
	Deep bool
	// Progress receives the progress of the comparison.
	Progress io.Writer
}

// Compare compares the nodes with each other and each node with its own rows, while writes
// continue. Problems of nodes are part of the report. An error means that no report could be
// created.
func Compare(ctx context.Context, o Options) (Report, error) {
	all, err := o.nodes(ctx)
	if err != nil {
		return Report{}, err
	}
	r := Report{Differences: []string{}, Nodes: make([]Node, len(all))}
	for i, n := range all {
		r.Nodes[i] = Node{Node: n.Node, Role: n.Role}
	}
	if err := r.digests(ctx, o, all); err != nil {
		return Report{}, err
	}
	r.audits(ctx, o, all)
	r.models(ctx, o, all)
	if o.Deep {
		if err := r.deep(ctx, o, all); err != nil {
			return Report{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	r.conclude()
	return r, nil
}

func (o Options) nodes(ctx context.Context) ([]nodes.Node, error) {
	all, err := nodes.All(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	if len(o.Names) > 0 {
		return nodes.Select(all, o.Names...)
	}
	// A failed node should be running, so it is part of the comparison.
	var running []nodes.Node
	for _, n := range all {
		if n.State != roster.Left {
			running = append(running, n)
		}
	}
	if len(running) == 0 {
		return nil, nodes.ErrNone
	}
	return running, nil
}

// models compares the read models in SQL of the nodes that could be checked so far. Command services
// have none.
func (r *Report) models(ctx context.Context, o Options, all []nodes.Node) {
	var asked []nodes.Node
	for i, n := range all {
		if n.Role != "command" && r.Nodes[i].Error == "" {
			asked = append(asked, n)
		}
	}
	if len(asked) == 0 {
		return
	}
	var err error
	if r.Models, err = digests.Compare(ctx, o.Progress, asked, o.Wait); err != nil {
		r.differ("the read models in SQL could not be compared: %s", err)
	}
}

// attempts is the maximum number of checkpoints. More than one is needed because a node that
// restarts in between no longer knows the last checkpoint.
const attempts = 3

// digests asks all nodes for their digests at one position: that of a checkpoint that it
// appends.
func (r *Report) digests(ctx context.Context, o Options, all []nodes.Node) error {
	for attempt := 1; ; attempt++ {
		position, err := o.Log.AppendCheckpoint(ctx)
		if err != nil {
			return fmt.Errorf("append a checkpoint for the comparison: %w", err)
		}
		r.Position = position
		errs := nodes.Each(ctx, o.Progress, all, func(ctx context.Context, i int, n nodes.Node) (err error) {
			r.Nodes[i].Digests, err = digestsAt(ctx, n, position, o.Wait)
			return err
		})
		if err := ctx.Err(); err != nil {
			return err
		}
		if forgot(errs) && attempt < attempts {
			continue
		}
		for i, err := range errs {
			r.Nodes[i].fail(err)
		}
		return nil
	}
}

func forgot(errs []error) bool {
	for _, err := range errs {
		if refused := (*problem.Problem)(nil); errors.As(err, &refused) && refused.Of(problem.NotFound) {
			return true
		}
	}
	return false
}

func digestsAt(ctx context.Context, n nodes.Node, position events.Position, wait time.Duration) (map[string]node.Summary, error) {
	response, err := at(ctx, n, "/digests", position, wait)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var d node.Digests
	if err := json.NewDecoder(response.Body).Decode(&d); err != nil {
		return nil, fmt.Errorf("the answer of node %s was cut off: %w", n.Node, err)
	}
	return d.Collections, nil
}

// at asks a node for its state at a position or later, and waits until the node has reached it.
// It polls, so that a silent node can be distinguished from one that is behind.
func at(ctx context.Context, n nodes.Node, path string, position events.Position, wait time.Duration) (*http.Response, error) {
	const maximum = 2 * time.Second
	for end := time.Now().Add(wait); ; {
		left := max(0, min(maximum, time.Until(end)))
		response, err := n.Do(ctx, http.MethodGet, fmt.Sprintf("%s?position=%d&wait=%s", path, position, left))
		behind := (*problem.Problem)(nil)
		if errors.As(err, &behind) && behind.Of(problem.ReadModelBehind) && left > 0 {
			continue
		}
		return response, err
	}
}

// fail records the first error that prevented the check of a node.
func (n *Node) fail(err error) {
	if err != nil && n.Error == "" {
		n.Error = err.Error()
	}
}
