// Package support implements clusterlite support dump, which collects what a bug report needs. Only
// package cli imports it.
package support

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/overview"
	"github.com/clusterlite/clusterlite/clusterlite/operator/nodes"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Support has the subcommands for bug reports.
type Support struct {
	Dump Dump `cmd:"" help:"Collect status, settings without secrets, metrics, log lines and goroutines of all nodes into one archive."`
}

// Dump collects an archive.
type Dump struct {
	subcommand.Output `embed:""`
	settings.Kafka    `embed:""`
	Access            subcommand.Access `embed:""`
	Admin             []string          `name:"admin" env:"CLUSTERLITE_ADMIN" placeholder:"HOST:PORT" help:"Admin addresses of nodes to ask even if the broker does not know them or is unreachable; a name may resolve to several. Default: none while the broker answers, otherwise ports 9080, 9081 and 9082 of this host."`
	File              string            `name:"file" short:"f" placeholder:"FILE" help:"The archive to write; it must not exist. Default: clusterlite-support-TIME.tar.gz in the current folder."`
}

// Help says what is in the archive.
func (Dump) Help() string {
	return `The archive has the state of the cluster and the description of the topic, and for each node its
status, settings, metrics, rejected records, last log lines and the stacks of its goroutines. Secrets
are left out. The log lines have paths of requests, and so ids of entities; documents are in none of
the files. Read the archive before you pass it on.

A node that does not answer is noted in the archive, and the rest is collected. So is a broker that
does not answer.

Examples:

    clusterlite support dump --kafka-brokers kafka-1:9092
    clusterlite support dump --admin query:9082,command:9081 --file bundle.tar.gz`
}

// CheckSettings is called by the parser.
func (c *Dump) CheckSettings() error {
	for _, address := range c.Admin {
		hostPort, _ := nodes.Address(address)
		if err := settings.CheckAddr("admin", hostPort); err != nil {
			return err
		}
	}
	return nil
}

// local lists the default admin addresses of nodes on this host.
var local = []string{"127.0.0.1:9080", "127.0.0.1:9081", "127.0.0.1:9082"}

// Run collects the archive. It fails only if the archive can't be written.
func (c Dump) Run(ctx context.Context, out subcommand.Streams) (err error) {
	ctx, log, err := c.Access.OpenLog(ctx, c.Kafka, out)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was only read
	now := time.Now().UTC()
	if c.File == "" {
		c.File = "clusterlite-support-" + now.Format("20060102T150405Z") + ".tar.gz"
	}
	a, err := create(c.File, now)
	if err != nil {
		return err
	}
	r, err := c.collect(ctx, out, log, a)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, a.abandon())
	}
	if err := a.commit(c.File); err != nil {
		return err
	}
	return c.Print(out, r)
}

// collect writes all files of the archive. The error is that of the archive.
func (c Dump) collect(ctx context.Context, out subcommand.Streams, log *eventlog.Log, a *archive) (result, error) {
	r := result{File: c.File, Nodes: []string{}, Missing: []string{}}
	missing := func(format string, values ...any) {
		r.Missing = append(r.Missing, fmt.Sprintf(format, values...))
	}
	say := func(what string) { _, _ = fmt.Fprintln(out.Stderr, what) } // a failed report does not stop the work

	say("asking the brokers and the nodes for their state")
	admin := c.Admin
	all, err := nodes.All(ctx, log)
	if err != nil {
		missing("the nodes that the broker knows: %v", err)
		if len(admin) == 0 {
			admin = local
		}
	}
	seen, err := overview.Gather(ctx, overview.Options{Log: log, Admin: c.Admin, Fallback: local})
	if err != nil {
		missing("the state of the cluster: %v", err)
	} else if err := errors.Join(a.addJSON("cluster/status.json", seen), a.addText("cluster/status.txt", seen.Text)); err != nil {
		return r, err
	}
	if health, err := log.Health(ctx); err != nil {
		missing("the description of topic %s: %v", log.Topic(), err)
	} else if err := a.addJSON("cluster/topic.json", describe(log.Topic(), health)); err != nil {
		return r, err
	}

	asked := append(nodes.Living(all), c.others(ctx, all, admin, missing)...)
	say(fmt.Sprintf("collecting from %d nodes", len(asked)))
	found := make([]bundle, len(asked))
	nodes.Each(ctx, out.Stderr, asked, func(ctx context.Context, i int, n nodes.Node) error {
		found[i] = gather(ctx, n)
		return nil
	})
	used := map[string]bool{}
	for i, b := range found {
		folder := folderOf(asked[i], b, used)
		for _, f := range b.files {
			if err := a.add(filepath.Join("nodes", folder, f.name), f.content); err != nil {
				return r, err
			}
		}
		if len(b.files) > 0 {
			r.Nodes = append(r.Nodes, folder)
		}
		for _, m := range b.missing {
			missing("node %s: %s", folder, m)
		}
	}
	slices.Sort(r.Nodes)
	return r, a.addText("README.txt", func(w io.Writer) error { return readme(w, r, a.now) })
}

// others returns the nodes at the admin addresses that the broker does not know.
func (c Dump) others(ctx context.Context, known []nodes.Node, admin []string, missing func(string, ...any)) (others []nodes.Node) {
	const patience = 3 * time.Second // for names that do not resolve
	seen := map[string]bool{}
	for _, n := range nodes.Living(known) {
		seen[n.Admin] = true
	}
	for _, address := range admin {
		soon, cancel := context.WithTimeout(ctx, patience)
		found, err := nodes.At(soon, address)
		cancel()
		if err != nil {
			missing("the nodes at %s: %v", address, err)
		}
		for _, n := range found {
			if !seen[n.Admin] {
				seen[n.Admin] = true
				others = append(others, n)
			}
		}
	}
	return others
}

// result is what was collected.
type result struct {
	File string `json:"file"`
	// Nodes are the nodes of which the archive has something.
	Nodes []string `json:"nodes"`
	// Missing says what could not be collected, and why.
	Missing []string `json:"missing"`
}

// Text implements [subcommand.Result].
func (r result) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "wrote %s with %d nodes\n", r.File, len(r.Nodes))
	for _, m := range r.Missing {
		if err == nil {
			_, err = fmt.Fprintln(w, "missing:", m)
		}
	}
	return err
}

func readme(w io.Writer, r result, now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	_, err = fmt.Fprintf(w, "Collected by clusterlite support dump, version %s, on %s at %s.\n\n"+
		"cluster/  the state of the cluster and its topic\n"+
		"nodes/    for each node: status, settings without secrets, metrics, rejected records,\n"+
		"          last log lines, goroutines\n\n", process.Version(), host, now.Format(time.RFC3339))
	if err == nil && len(r.Missing) == 0 {
		_, err = fmt.Fprintln(w, "Everything that was asked for is here.")
	}
	for _, m := range r.Missing {
		if err == nil {
			_, err = fmt.Fprintln(w, "missing:", m)
		}
	}
	return err
}
