// Command clusterlite-command accepts writes: it validates them, appends events to the log, and
// responds according to the verdict that the log gives.
package main

import (
	"context"
	"io"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/azure"
	"github.com/clusterlite/clusterlite/service/node/snapshots/gcs"
	"github.com/clusterlite/clusterlite/service/node/snapshots/s3"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

type grammar struct {
	Serve struct {
		settings.Node   `embed:""`
		settings.Kafka  `embed:""`
		settings.HTTP   `embed:""`
		settings.Writes `embed:""`
	} `cmd:"" default:"withargs" help:"Serve writes (default)."`
	Healthcheck struct {
		settings.AdminAddr `embed:""`
	} `cmd:"" help:"Check whether the process on this host is ready; exit with status 0 if it is."`
	Drain struct {
		settings.AdminAddr `embed:""`
	} `cmd:"" help:"Drain the process on this host: it takes no more clients, and finishes the requests in flight."`
	Version settings.VersionFlag `name:"version" help:"Show the version."`
}

func main() { process.Main(run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var g grammar
	command, err := settings.Program{
		Name: "clusterlite-command", Help: "The command service of ClusterLite: serves POST, PUT, PATCH and DELETE.",
		HTTPAddr: ":8081", AdminAddr: "127.0.0.1:9081", Version: process.Version(),
	}.Parse(&g, args, stdout, stderr)
	if err != nil {
		return err
	}
	if command.Command() == "healthcheck" {
		return admin.CheckHealth(ctx, g.Healthcheck.Addr, g.Healthcheck.Encrypted())
	}
	if command.Command() == "drain" {
		token, err := g.Drain.TLS.Secret(func(error) {})
		if err != nil {
			return err
		}
		return admin.Drain(ctx, g.Drain.Addr, g.Drain.Encrypted(), token)
	}
	s := g.Serve
	if err := s.SetDefaults("command"); err != nil {
		return err
	}
	return node.Run(ctx, node.Config{
		Role: "command", Node: s.Node, Kafka: s.Kafka, HTTP: s.HTTP, Stderr: stderr,
		Stores: snapshots.Providers{s3.Scheme: s3.Open, gcs.Scheme: gcs.Open, azure.Scheme: azure.Open},
		Mount: func(e *echo.Echo, n *node.Node) {
			contract.Mount(e, commands.New(n, s.Writes).Routes())
		},
	})
}
