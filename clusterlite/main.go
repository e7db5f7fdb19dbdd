// Command clusterlite is the whole of ClusterLite in one process, and the operator's
// tool.
package main

import (
	"context"
	"io"
	"os"

	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/settings"
)

// grammar is the table of contents: a subcommand a line, each in a file of its name.
type grammar struct {
	Serve       serve       `cmd:"" help:"Run everything in this process, with an embedded broker."`
	Snapshot    snapshot    `cmd:"" help:"Keep copies of read models, and start nodes from them."`
	Healthcheck healthcheck `cmd:"" help:"Ask the process on this host whether it is ready; exit with 0 if it is."`
	Rebuild     rebuild     `cmd:"" help:"Build the read models of nodes anew from the log, while they serve, or that of a stopped node."`
	Replay      replay      `cmd:"" help:"Make an SQLite file of the state at a position or a time."`
	Reindex     reindexing  `cmd:"" help:"Give existing entities the claims that a changed collection asks for."`
	Events      eventsTool  `cmd:"" help:"Look into the log; take it to a file, and from one."`
	Import      importLines `cmd:"" help:"Create entities from a file, a line each."`

	Status status        `cmd:"" help:"Show how the cluster is: nodes, lag, digests, topic, brokers."`
	Nodes  nodesCommands `cmd:"" help:"List the nodes that the broker knows of, or forget some."`
	Voids  voids         `cmd:"" help:"List the records that admission refused."`
	Verify verify        `cmd:"" help:"Prove that all nodes hold the same, and what the log makes; exit with 1 if not."`

	Completion completion `cmd:"" help:"Print a script that has a shell complete command lines: bash, zsh or fish."`

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
