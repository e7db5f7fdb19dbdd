package comparison

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/node"
)

// deep builds a read model from the log and compares each node's rows with it, one node after
// another. A node sends its rows from a snapshot that is at or after the position of the read
// model, which then catches up to the snapshot's position.
func (r *Report) deep(ctx context.Context, o Options, all []nodes.Node) (err error) {
	dir, err := os.MkdirTemp("", "clusterlite-verify-")
	if err != nil {
		return fmt.Errorf("create a folder for the comparison: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	replica, err := offline.OpenReplica(ctx, dir, o.Log)
	if err != nil {
		return fmt.Errorf("build from the log: %w", err)
	}
	defer func() { err = errors.Join(err, replica.Close()) }()
	// Build most of it first, so that a node's snapshot does not stay open meanwhile.
	if err := advance(ctx, o, replica, r.Position); err != nil {
		return err
	}
	for i, n := range all {
		if r.Nodes[i].Error != "" {
			continue
		}
		r.Nodes[i].Deep, err = against(ctx, o, n, replica, r.Nodes[i].rows())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Nodes[i].fail(err)
	}
	return nil
}

func advance(ctx context.Context, o Options, replica *offline.Replica, to events.Position) error {
	task := progress.Start(o.Progress, "building from the log", int64(to), "events")
	defer task.Done()
	if err := replica.Advance(ctx, to, func(at events.Position) { task.Set(int64(at)) }); err != nil {
		return fmt.Errorf("build from the log: %w", err)
	}
	return nil
}

// rows returns the number of entities that the audit found, as an estimate of the rows to
// compare.
func (n Node) rows() (all int64) {
	if n.Audit == nil {
		return 0
	}
	for _, a := range n.Audit.Collections {
		all += a.Found.Entities
	}
	return all
}

// against compares a node's rows with the replica's. rows is an estimate of their number.
func against(ctx context.Context, o Options, n nodes.Node, replica *offline.Replica, rows int64) (deep *Deep, err error) {
	response, err := at(ctx, n, "/rows", replica.Position(), o.Wait)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	theirs := &rowReader{node: n.Node, lines: json.NewDecoder(response.Body)}
	position, err := theirs.position()
	if err != nil {
		return nil, err
	}
	if err := advance(ctx, o, replica, position); err != nil {
		return nil, err
	}
	ours, err := replica.BeginRead(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ours.Close() }() // it was only read
	task := progress.Start(o.Progress, "comparing "+n.Node, rows, "rows")
	defer task.Done()
	m := merge{ours: ours, theirs: theirs, task: task}
	if err := m.run(ctx); err != nil {
		return nil, err
	}
	return &Deep{Position: position, Collections: m.found}, nil
}

// A rowReader reads the lines in which a node describes its rows, one line ahead.
type rowReader struct {
	node  string
	lines *json.Decoder
	line  node.RowLine
}

// next reads a line.
func (r *rowReader) next() error {
	r.line = node.RowLine{}
	if err := r.lines.Decode(&r.line); err != nil {
		return fmt.Errorf("the answer of node %s was cut off: %w", r.node, err)
	}
	if r.line.Failed != nil {
		return fmt.Errorf("node %s: %s", r.node, r.line.Failed.Detail)
	}
	return nil
}

// position reads the first line.
func (r *rowReader) position() (events.Position, error) {
	if err := r.next(); err != nil {
		return 0, err
	}
	if r.line.Position == nil {
		return 0, fmt.Errorf("node %s did not report the position of its rows", r.node)
	}
	return *r.line.Position, nil
}

// isRow reports whether the line is a row, rather than the line after the last row of a
// collection.
func (r *rowReader) isRow() bool { return r.line.Collection == "" && !r.line.End }
