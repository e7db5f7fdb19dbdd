// Package cluster implements the subcommands that inspect all nodes: status, nodes, voids and
// verify. It also implements healthcheck for the node on this host. Package overview gathers
// what status shows, and package comparison does the work of verify. Only package cli imports
// it.
package cluster

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/overview"
	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Status shows the state of the cluster.
type Status struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	Watch             bool              `name:"watch" short:"w" help:"Refresh the output until Ctrl-C."`
	All               bool              `name:"all" help:"Also show nodes that have left, one per line."`
	Admin             []string          `name:"admin" env:"CLUSTERLITE_ADMIN" placeholder:"HOST:PORT" help:"Admin addresses of nodes to show even if the broker does not know them or is unreachable; a name may resolve to several. Default: none while the broker answers, otherwise ports 9080, 9081 and 9082 of this host."`
	Interval          time.Duration     `name:"interval" default:"2s" placeholder:"DURATION" help:"Refresh interval with --watch (default ${default})."`
}

// Help is shown by --help.
func (Status) Help() string {
	return `Shows the nodes with their roles, positions, lag, digests and rebuilds, the topic and its brokers,
the webhooks, and any problems. It exits with status 1 if there is a problem: a node that does not
answer, is not ready, or differs from another at the same position; a topic that can lose events; a read
model that has stopped; a webhook that is disabled or whose endpoint accepts nothing.

The tool finds nodes through their announcements to the broker. While the broker is unreachable, it
shows the nodes that answer on this host, or at the addresses in --admin.

Examples:

    clusterlite status --kafka-brokers kafka-1:9092,kafka-2:9092
    clusterlite status --watch
    clusterlite status --admin query:9082,command:9081`
}

// CheckSettings is called by the parser.
func (c *Status) CheckSettings() error {
	if c.Interval < 100*time.Millisecond {
		return fmt.Errorf("--interval is %s; allowed: a duration of at least 100ms", c.Interval)
	}
	for _, address := range c.Admin {
		if err := settings.CheckAddr("admin", hostPort(address)); err != nil {
			return err
		}
	}
	return nil
}

// hostPort returns an admin address without its scheme.
func hostPort(address string) string {
	bare, _ := nodes.Address(address)
	return bare
}

// local lists the default admin addresses of nodes on this host.
var local = []string{"127.0.0.1:9080", "127.0.0.1:9081", "127.0.0.1:9082"}

// gather creates a report.
func (c Status) gather(ctx context.Context, log *eventlog.Log) (subcommand.Result, bool, error) {
	r, err := overview.Gather(ctx, overview.Options{Log: log, Admin: c.Admin, Fallback: local})
	if err != nil {
		return nil, false, err
	}
	if c.All {
		return overview.Whole{Report: r}, r.Healthy, nil
	}
	return r, r.Healthy, nil
}

// Run gathers one report or, with --watch, one after another.
func (c Status) Run(ctx context.Context, out subcommand.Streams) error {
	ctx, log, err := c.Access.OpenLog(ctx, c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was only read
	if c.Watch {
		return c.watch(ctx, out, log)
	}
	r, healthy, err := c.gather(ctx, log)
	if err != nil {
		return err
	}
	if err := c.Print(out, r); err != nil {
		return err
	}
	if !healthy {
		return process.ErrReported
	}
	return nil
}

// watch shows reports until ctx ends, which is its normal end. It keeps trying while the
// broker is unreachable.
func (c Status) watch(ctx context.Context, out subcommand.Streams, log *eventlog.Log) error {
	shown := newScreen(out.Stdout)
	again := time.NewTicker(c.Interval)
	defer again.Stop()
	for {
		var frame bytes.Buffer
		r, _, err := c.gather(ctx, log)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is the normal end
		}
		if err == nil {
			err = c.Print(subcommand.Streams{Stdout: &frame}, r)
		}
		if err != nil {
			_, _ = fmt.Fprintln(out.Stderr, "can't show the status:", err)
		} else if err := shown.draw(frame.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}
