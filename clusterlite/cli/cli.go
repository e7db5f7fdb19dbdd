// Package cli is the command line of clusterlite. Its grammar lists the subcommands, which are
// implemented in the packages serve and operator/….
package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster"
	"github.com/clusterlite/clusterlite/clusterlite/operator/importer"
	"github.com/clusterlite/clusterlite/clusterlite/operator/keys"
	"github.com/clusterlite/clusterlite/clusterlite/operator/models"
	"github.com/clusterlite/clusterlite/clusterlite/operator/readmodel"
	"github.com/clusterlite/clusterlite/clusterlite/operator/support"
	"github.com/clusterlite/clusterlite/clusterlite/operator/topic"
	"github.com/clusterlite/clusterlite/clusterlite/operator/webhooks"
	"github.com/clusterlite/clusterlite/clusterlite/serve"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Grammar lists the subcommands in the order of --help.
type Grammar struct {
	Serve       serve.Command       `cmd:"" help:"Run everything in one process, with an embedded broker."`
	Snapshot    readmodel.Snapshot  `cmd:"" help:"Manage snapshots of read models: create, list, verify, restore, prune."`
	Healthcheck cluster.Healthcheck `cmd:"" help:"Check whether the process on this host is ready; exit with status 0 if it is."`
	Drain       cluster.Drain       `cmd:"" help:"Drain the process on this host: it takes no more clients, and finishes the requests in flight."`
	Rebuild     readmodel.Rebuild   `cmd:"" help:"Rebuild read models from the log, online or offline."`
	Replay      readmodel.Replay    `cmd:"" help:"Write an SQLite file with the state at a position or a time."`
	Reindex     topic.Reindex       `cmd:"" help:"Give existing entities the claims that a changed collection requires."`
	Events      topic.Events        `cmd:"" help:"Inspect, export and import the log."`
	Import      importer.Command    `cmd:"" help:"Create entities from a file with one JSON object per line."`

	Status cluster.Status `cmd:"" help:"Show the state of the cluster: nodes, lag, digests, topic, brokers."`
	Nodes  cluster.Nodes  `cmd:"" help:"List the nodes known to the broker, or forget some."`
	Model  models.Model   `cmd:"" help:"Manage read models in SQL: list, rebuild, retry, skip, verify."`
	Voids  cluster.Voids  `cmd:"" help:"List the records that admission rejected."`
	Verify cluster.Verify `cmd:"" help:"Verify that all nodes hold the same data, and that it matches the log; exit with status 1 if not."`

	Support support.Support `cmd:"" help:"Collect what a bug report needs."`

	Keys     keys.Keys         `cmd:"" help:"Manage API keys of clients: create, list, revoke."`
	Webhooks webhooks.Webhooks `cmd:"" help:"Manage webhooks: list, pause, resume, replay."`

	Completion completion `cmd:"" help:"Print a completion script for bash, zsh or fish."`

	Version settings.VersionFlag `name:"version" help:"Show the version."`
}

// Run parses the arguments and runs the subcommand that they name, until it is done or ctx
// ends. The error is that of the subcommand; see package subcommand.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	parsed, err := settings.Program{
		Name: "clusterlite", Help: "An event-sourced store for REST resources.",
		HTTPAddr: ":8080", AdminAddr: "127.0.0.1:9080", Version: process.Version(),
	}.Parse(&Grammar{}, args, stdout, stderr)
	if err != nil {
		return err
	}
	selected := parsed.Selected()
	command, ok := selected.Target.Addr().Interface().(subcommand.Command)
	if !ok {
		return fmt.Errorf("%s is no command", selected.FullPath())
	}
	return command.Run(ctx, subcommand.Streams{Stdin: os.Stdin, Stdout: stdout, Stderr: stderr})
}
