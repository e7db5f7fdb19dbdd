package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/overview"
	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Nodes are the subcommands for the nodes known to the broker.
type Nodes struct {
	List   NodesList   `cmd:"" default:"withargs" help:"List the nodes by their latest announcements (default)."`
	Forget NodesForget `cmd:"" help:"Forget nodes that are gone for good."`
}

// Help is shown by --help.
func (Nodes) Help() string {
	return `Each node announces itself to the broker through the consumer group clusterlite.NAME. The tool finds
nodes by these announcements.

Examples:

    clusterlite nodes
    clusterlite nodes forget query-3`
}

// NodesList lists the nodes.
type NodesList struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	All               bool `name:"all" help:"Also list nodes that have left, one per line. With --output json they are always listed."`
}

// Help is shown by --help.
func (NodesList) Help() string {
	return `Lists the nodes that the broker knows, by their latest announcements, without contacting them; use
clusterlite status for that. The broker forgets a node some days after its last announcement.

Examples:

    clusterlite nodes list --output json`
}

// roll is the result of nodes list.
type roll struct {
	Nodes []roster.Entry `json:"nodes"`

	all bool
}

// Text writes the nodes as text.
func (r roll) Text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NODE\tROLE\tSTATE\tPOSITION\tVERSION\tADMIN\tHEARD")
	var left []string
	for _, e := range r.Nodes {
		if e.State == roster.Left && !r.all {
			left = append(left, e.Node)
			continue
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", e.Node, e.Role, e.State, e.Position, e.Version, e.Admin, e.At.Format(time.RFC3339))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return overview.LeftText(w, left)
}

// Run lists the nodes.
func (c NodesList) Run(ctx context.Context, out subcommand.Streams) error {
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was only read
	entries, err := roster.List(ctx, log)
	if err != nil {
		return err
	}
	return c.Print(out, roll{entries, c.All})
}

// NodesForget removes nodes from the broker's list.
type NodesForget struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	Names             []string          `arg:"" optional:"" name:"node" help:"Names of nodes."`
	Left              bool              `name:"left" help:"Forget all nodes that were stopped cleanly and have left."`
}

// CheckSettings is called by the parser.
func (c *NodesForget) CheckSettings() error {
	if c.Left == (len(c.Names) > 0) {
		return errors.New("name the nodes to forget, or use --left")
	}
	return nil
}

// Help is shown by --help.
func (NodesForget) Help() string {
	return `Forgets nodes that are gone for good, so that status no longer reports them as missing. Their data
is not touched. A running node can't be forgotten, because it would announce itself again.

Examples:

    clusterlite nodes forget query-3
    clusterlite nodes forget --left`
}

// forgotten is the result of nodes forget.
type forgotten struct {
	Forgotten []string `json:"forgotten"`
}

// Text writes the names of the nodes as text.
func (f forgotten) Text(w io.Writer) error {
	for _, name := range f.Forgotten {
		if _, err := fmt.Fprintf(w, "forgot %s\n", name); err != nil {
			return err
		}
	}
	return nil
}

// doomed returns the nodes to forget.
func (c NodesForget) doomed(all []nodes.Node) ([]nodes.Node, error) {
	if !c.Left {
		return nodes.Select(all, c.Names...)
	}
	return slices.DeleteFunc(slices.Clone(all), func(n nodes.Node) bool { return n.State != roster.Left }), nil
}

// Run removes all named nodes. If one is unknown or running, it removes none.
func (c NodesForget) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, log, err := c.Access.OpenLog(ctx, c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // its writes are already acknowledged
	all, err := nodes.All(ctx, log)
	if err != nil {
		return err
	}
	doomed, err := c.doomed(all)
	if err != nil {
		return err
	}
	for _, n := range doomed {
		if n.State == roster.Running && n.Lives(ctx) {
			return fmt.Errorf("node %s is running at %s: stop it first", n.Node, n.Admin)
		}
	}
	f := forgotten{[]string{}}
	for _, n := range doomed {
		_, failed := roster.Forget(ctx, log, n.Node)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		f.Forgotten = append(f.Forgotten, n.Node)
	}
	return errors.Join(c.Print(out, f), err)
}
