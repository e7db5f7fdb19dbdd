// Package readmodel implements the subcommands that create and replace read models: rebuild,
// replay and snapshot. Only package cli imports it.
package readmodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Rebuild rebuilds read models.
type Rebuild struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`

	Node    []string `name:"node" required:"" xor:"whose" placeholder:"NAME" help:"Rebuild this node. May be repeated."`
	All     bool     `name:"all" required:"" xor:"whose" help:"Rebuild all nodes known to the broker, one after the other."`
	Admin   []string `name:"admin" required:"" xor:"whose" placeholder:"HOST:PORT" help:"Rebuild the node with this admin address. May be repeated."`
	DataDir string   `name:"data-dir" required:"" xor:"whose" placeholder:"DIR" help:"Rebuild the stopped node with this data folder. The folder of a clusterlite serve also contains its log."`

	Keep   bool   `name:"keep" help:"Keep the replaced file."`
	Back   bool   `name:"back" help:"Go back to the kept file instead of building a new one, once it has caught up."`
	Force  bool   `name:"force" help:"Replace the file even if its digests differ, or if it has entities that the log lacks; the old file is then kept."`
	Rate   int    `name:"rate" placeholder:"N" help:"Apply at most this many records per second. Default: on a busy node, pause for up to as long as each step took; on an idle or stopped node, never pause."`
	Cancel bool   `name:"cancel" help:"Cancel the running rebuild instead of starting one."`
	From   string `name:"from" placeholder:"SOURCE" help:"Start from the newest matching snapshot instead of the beginning of the log. SOURCE is a folder or bucket that the node can reach, or the admin listener of another node (http://…); with --data-dir, it can also be a read model file."`

	Collections string `name:"collections" env:"CLUSTERLITE_COLLECTIONS" placeholder:"DIR" help:"With --data-dir: the node's folder with additional collections. Default: none."`
}

// Help gives examples.
func (Rebuild) Help() string {
	return `Each node builds a new file beside the one that serves, compares the digests of both at the same
position, and replaces the old file in one step. Reads and writes continue meanwhile. If the digests
differ, the old file continues to serve. If this command is interrupted, it cancels the rebuild.

Use --data-dir for a node that refuses to start. If the old file can't be compared, it is kept as
projection.previous.db. If the old file has entities that the log lacks, the rebuild changes nothing
and reports how many: the log may be lost, and the file may be the only copy. Save it with
clusterlite snapshot create STORE --data-dir DIR.

Examples:

    clusterlite rebuild --node query-1
    clusterlite rebuild --all --keep
    clusterlite rebuild --node query-1 --from s3://backups
    clusterlite rebuild --node query-1 --back
    clusterlite rebuild --data-dir ./clusterlite-data`
}

// CheckSettings is called by the parser.
func (c *Rebuild) CheckSettings() error {
	if c.DataDir != "" && c.Cancel {
		return errors.New("--cancel applies only to running nodes: stop the rebuild of a folder with Ctrl-C")
	}
	if c.DataDir != "" && c.Rate != 0 {
		return errors.New("--rate applies only to running nodes")
	}
	return c.options(nil, nil, admin.Access{}).Validate()
}

// options returns the options for rebuilding a folder.
func (c *Rebuild) options(log *eventlog.Log, logger *slog.Logger, access admin.Access) projections.RebuildOptions {
	o := projections.RebuildOptions{Back: c.Back, Keep: c.Keep, Force: c.Force, Rate: c.Rate}
	if info, err := os.Stat(c.From); err == nil && info.Mode().IsRegular() {
		o.From = offline.FromFile(c.From)
	} else if c.From != "" {
		o.From = snapshots.Finder{Sources: []string{c.From}, Providers: subcommand.Stores, Access: access, Log: log, Logger: logger}.Save
	}
	return o
}

// Run rebuilds the read models.
func (c *Rebuild) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, err := c.Access.Apply(ctx, out)
	if err != nil {
		return err
	}
	if c.DataDir != "" {
		return c.stopped(ctx, out)
	}
	targets, err := c.targets(ctx, out)
	if err != nil {
		return err
	}
	what := c.running
	if c.Cancel {
		what = c.cancel
	}
	var all rebuilds
	for _, n := range targets {
		status, err := what(ctx, out, n)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		one := nodeRebuild{Node: n.Node, Rebuild: status}
		if err != nil {
			one.Error = err.Error()
		}
		all.Nodes = append(all.Nodes, one)
	}
	if err := c.Print(out, all); err != nil {
		return err
	}
	return all.verdict(c.Cancel)
}

// targets returns the nodes to rebuild.
func (c *Rebuild) targets(ctx context.Context, out subcommand.Streams) (targets []nodes.Node, err error) {
	if len(c.Admin) > 0 {
		return at(ctx, c.Admin)
	}
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	all, err := nodes.All(ctx, log)
	if err != nil {
		return nil, err
	}
	if !c.All {
		return nodes.Select(all, c.Node...)
	}
	if targets = nodes.Living(all); len(targets) == 0 {
		return nil, nodes.ErrNone
	}
	return targets, nil
}

// at returns the nodes at these addresses.
func at(ctx context.Context, addresses []string) (targets []nodes.Node, err error) {
	for _, address := range addresses {
		hostPort, encrypted := nodes.Address(address)
		n := nodes.Node{Entry: roster.Entry{Admin: hostPort, TLS: encrypted}}
		var is struct {
			Node string `json:"node"`
		}
		err := n.Get(ctx, "/status", &is)
		if gone := (*nodes.UnreachableError)(nil); errors.As(err, &gone) {
			return nil, fmt.Errorf("no node answers at %s: %w", gone.Admin, gone.Err)
		}
		if err != nil {
			return nil, err
		}
		n.Node = is.Node
		targets = append(targets, n)
	}
	return targets, nil
}

// polling is the interval at which a node is asked for its progress.
const polling = 200 * time.Millisecond

// running rebuilds a running node, and cancels the rebuild if ctx ends.
func (c *Rebuild) running(ctx context.Context, out subcommand.Streams, n nodes.Node) (status *projections.RebuildStatus, err error) {
	parameters := url.Values{}
	for name, set := range map[string]bool{"keep": c.Keep, "back": c.Back, "force": c.Force} {
		if set {
			parameters.Set(name, "true")
		}
	}
	if c.From != "" {
		parameters.Set("from", c.From)
	}
	if c.Rate > 0 {
		parameters.Set("rate", strconv.Itoa(c.Rate))
	}
	if err := order(ctx, n, http.MethodPost, "/rebuild?"+parameters.Encode()); err != nil {
		return nil, err
	}
	task := progress.Start(out.Stderr, "rebuild "+n.Node, 0, "events")
	defer task.Done()
	for {
		status = &projections.RebuildStatus{}
		if err := n.Get(ctx, "/rebuild", status); err != nil && ctx.Err() == nil {
			return nil, err
		}
		reportTo(task)(status.Position, status.End)
		if ctx.Err() == nil && status.State == projections.RebuildDone {
			task.Done()
			return status, goesOn(ctx, n, status.Position)
		}
		if ctx.Err() == nil && status.State != projections.RebuildRunning {
			return status, nil
		}
		select {
		case <-time.After(polling):
		case <-ctx.Done():
			return nil, order(ctx, n, http.MethodDelete, "/rebuild")
		}
	}
}

// goesOn returns an error if a node that was rebuilt up to a position can't apply the log from
// there. In that case the rebuild replaced the file but did not help. The node has some time to
// apply the next records.
func goesOn(ctx context.Context, n nodes.Node, rebuilt events.Position) error {
	const patience = 10 * time.Second
	for end := time.Now().Add(patience); ; {
		var is struct {
			Position events.Position `json:"position"`
			End      events.Position `json:"end"`
			Broker   bool            `json:"broker_reachable"`
			Stopped  string          `json:"stopped"`
			Failing  string          `json:"failing"`
		}
		err := n.Get(ctx, "/status", &is)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("it was rebuilt up to position %d, but did not report whether it continues: %w", rebuilt, err)
		case is.Stopped != "":
			return fmt.Errorf("it was rebuilt up to position %d, but still can't continue: %s", rebuilt, is.Stopped)
		case is.Position > rebuilt, is.Failing == "" && is.Position >= is.End:
			return nil
		case time.Now().After(end) && is.Failing != "":
			return fmt.Errorf("it was rebuilt up to position %d, but still can't apply the log: %s", rebuilt, is.Failing)
		case time.Now().After(end) && !is.Broker:
			return fmt.Errorf("it was rebuilt up to position %d; the broker is unreachable, so it is unknown whether the node continues", rebuilt)
		case time.Now().After(end):
			return fmt.Errorf("it was rebuilt up to position %d, but has applied nothing since, although the log ends at position %d", rebuilt, is.End)
		}
		select {
		case <-time.After(polling):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// order sends a command to a node, and does not abandon it if ctx ends: once the command is
// sent, the node may be carrying it out.
func order(ctx context.Context, n nodes.Node, method, path string) error {
	// Cancelling takes as long as the node's current batch.
	const patience = 30 * time.Second
	sent, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	response, err := n.DoPatiently(sent, method, path)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// cancel cancels the rebuild of a node.
func (c *Rebuild) cancel(ctx context.Context, _ subcommand.Streams, n nodes.Node) (*projections.RebuildStatus, error) {
	if err := order(ctx, n, http.MethodDelete, "/rebuild"); err != nil {
		return nil, err
	}
	status := &projections.RebuildStatus{}
	return status, n.Get(ctx, "/rebuild", status)
}
