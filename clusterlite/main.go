// Command clusterlite runs all of ClusterLite in one process, and is the operator's tool.
package main

import (
	"context"
	"io"
	"os"

	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// grammar lists the subcommands. Each is implemented in a file of its name.
type grammar struct {
	Serve       serve       `cmd:"" help:"Run everything in one process, with an embedded broker."`
	Snapshot    snapshot    `cmd:"" help:"Manage snapshots of read models: create, list, restore, prune."`
	Healthcheck healthcheck `cmd:"" help:"Check whether the process on this host is ready; exit with status 0 if it is."`
	Rebuild     rebuild     `cmd:"" help:"Rebuild read models from the log, online or offline."`
	Replay      replay      `cmd:"" help:"Write an SQLite file with the state at a position or a time."`
	Reindex     reindexing  `cmd:"" help:"Give existing entities the claims that a changed collection requires."`
	Events      eventsTool  `cmd:"" help:"Inspect, export and import the log."`
	Import      importLines `cmd:"" help:"Create entities from a file with one JSON object per line."`

	Status status        `cmd:"" help:"Show the state of the cluster: nodes, lag, digests, topic, brokers."`
	Nodes  nodesCommands `cmd:"" help:"List the nodes known to the broker, or forget some."`
	Voids  voids         `cmd:"" help:"List the records that admission rejected."`
	Verify verify        `cmd:"" help:"Verify that all nodes hold the same data, and that it matches the log; exit with status 1 if not."`

	Completion completion `cmd:"" help:"Print a completion script for bash, zsh or fish."`

	Version settings.VersionFlag `name:"version" help:"Show the version."`
}

func main() { process.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	command, err := settings.Program{
		Name: "clusterlite", Help: "An event-sourced store for REST resources.",
		HTTPAddr: ":8080", AdminAddr: "127.0.0.1:9080", Version: process.Version(),
	}.Parse(&grammar{}, args, stdout, stderr)
	if err != nil {
		return err
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(streams{os.Stdin, stdout, stderr})
}
