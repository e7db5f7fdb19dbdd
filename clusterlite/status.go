package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/overview"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/settings"
)

// status shows how the cluster is.
type status struct {
	output         `embed:""`
	settings.Kafka `embed:""`
	Watch          bool          `name:"watch" short:"w" help:"Show it again and again, until Ctrl-C."`
	Interval       time.Duration `name:"interval" default:"2s" placeholder:"DURATION" help:"How often with --watch (default ${default})."`
}

// Help is shown by --help.
func (status) Help() string {
	return `Shows the nodes with their roles, positions, lag, digests and rebuilds, the topic and its
brokers, and what is wrong. It exits with 1 if anything is: a node that doesn't answer, is
not ready or differs from another at the same position, a topic that can lose events.

Examples:

    clusterlite status --kafka-brokers kafka-1:9092,kafka-2:9092
    clusterlite status --watch`
}

// Validate is called by the parser.
func (c *status) Validate() error {
	if c.Interval < 100*time.Millisecond {
		return fmt.Errorf("--interval is %s; allowed: 100ms and more", c.Interval)
	}
	return nil
}

// Run gathers a report, or one after the other.
func (c status) Run(ctx context.Context, out streams) error {
	log, err := openLog(c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it only read
	if c.Watch {
		return c.watch(ctx, out, log)
	}
	if _, err := describeLog(ctx, log); err != nil {
		return err
	}
	r, err := overview.Gather(ctx, log)
	if err != nil {
		return err
	}
	if err := c.print(out, r); err != nil {
		return err
	}
	if !r.Healthy {
		return process.ErrTold
	}
	return nil
}

// watch shows reports until ctx ends, which is how it is meant to end. A broker that is
// away may come back.
func (c status) watch(ctx context.Context, out streams, log *eventlog.Log) error {
	shown := newScreen(out.stdout)
	again := time.NewTicker(c.Interval)
	defer again.Stop()
	for {
		var frame bytes.Buffer
		r, err := overview.Gather(ctx, log)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it is what was waited for
		}
		if err == nil {
			err = c.print(streams{stdout: &frame}, r)
		}
		if err != nil {
			_, _ = fmt.Fprintln(out.stderr, "no status:", err)
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
