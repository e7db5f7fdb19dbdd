package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/comparison"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Verify checks that nodes are equal, and reports where they differ.
type Verify struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	Nodes             []string          `name:"node" placeholder:"NAME" help:"The nodes to check, repeated or separated by commas. Default: all running nodes."`
	Deep              bool              `name:"deep" help:"Also build a read model from the log, in a folder below TMPDIR, and list the first entities that differ from it."`
	DataDir           string            `name:"data-dir" placeholder:"DIR" help:"Check only the rows of the node with this data folder, running or not. Needs no broker."`
	Wait              time.Duration     `name:"wait" default:"1m" placeholder:"DURATION" help:"Maximum time for a node to reach the common position (default ${default})."`
}

// Help is shown by --help.
func (Verify) Help() string {
	return `Compares the digests of all nodes at one position, a checkpoint that it appends to the log, while
writes continue. Each node also recomputes its digests from its rows, which finds rows that another
program has changed. Read models in SQL are compared at the last event that changed each of them.
With --deep, each row is compared with the log. The exit status is 1 if anything differs or could
not be checked.

Examples:

    clusterlite verify
    clusterlite verify --deep --node query-2 --output json
    clusterlite verify --data-dir /var/lib/clusterlite`
}

// CheckSettings is called by the parser.
func (c *Verify) CheckSettings() error {
	if c.Wait <= 0 || c.Wait > time.Hour {
		return fmt.Errorf("--wait is %s; allowed: above zero, up to 1h", c.Wait)
	}
	if c.DataDir != "" && (c.Deep || len(c.Nodes) > 0) {
		return errors.New("--data-dir can't be combined with --deep or --node, which need running nodes")
	}
	return nil
}

// Run compares and reports.
func (c Verify) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, err := c.Access.Apply(ctx, out)
	if err != nil {
		return err
	}
	r, err := c.report(ctx, out)
	if err != nil {
		return err
	}
	if err := c.Print(out, r); err != nil {
		return err
	}
	if !r.Equal {
		return process.ErrReported
	}
	return nil
}

func (c Verify) report(ctx context.Context, out subcommand.Streams) (comparison.Report, error) {
	if c.DataDir != "" {
		return comparison.OfFile(ctx, filepath.Join(c.DataDir, datafolder.FileName), out.Stderr)
	}
	log, err := subcommand.OpenLog(c.Kafka, out)
	if err != nil {
		return comparison.Report{}, err
	}
	defer func() { _ = log.Close() }() // its writes are already acknowledged
	return comparison.Compare(ctx, comparison.Options{Log: log, Names: c.Nodes, Wait: c.Wait, Deep: c.Deep, Progress: out.Stderr})
}
