// Command clusterlite is the whole of ClusterLite in one process.
package main

import (
	"context"
	"io"

	"github.com/clusterlite/clusterlite/service/admin"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/settings"
)

type grammar struct {
	Serve       serve `cmd:"" help:"Run everything in this process, with an embedded broker."`
	Healthcheck struct {
		settings.AdminAddr `embed:""`
	} `cmd:"" help:"Ask the process on this host whether it is ready; exit with 0 if it is."`
	Version settings.VersionFlag `name:"version" help:"Show the version."`
}

func main() { process.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var g grammar
	command, err := settings.Program{
		Name: "clusterlite", Help: "An event-sourced store for REST resources.",
		HTTPAddr: ":8080", AdminAddr: "127.0.0.1:9080", Version: process.Version(),
	}.Parse(&g, args, stdout, stderr)
	if err != nil {
		return err
	}
	if command.Command() == "healthcheck" {
		return admin.CheckHealth(ctx, g.Healthcheck.Addr)
	}
	return g.Serve.run(ctx, stdout, stderr)
}
