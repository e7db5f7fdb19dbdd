// Package program is what the command service and the query service have in common: a command line
// that serves, or checks or drains a process that does.
package program

import (
	"context"
	"io"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/azure"
	"github.com/clusterlite/clusterlite/service/node/snapshots/gcs"
	"github.com/clusterlite/clusterlite/service/node/snapshots/s3"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// A Service is a program that runs one role. S is the type of the settings that only this role has:
// a struct of flags in kong's terms.
type Service[S any] struct {
	// Role is command or query.
	Role string
	// Name and Help are what --help says first. Serves says what the service serves, for example
	// reads.
	Name, Help, Serves string
	// HTTPAddr and AdminAddr are the defaults of its listeners.
	HTTPAddr, AdminAddr string
	// Routes returns the routes of the API on a node.
	Routes func(*node.Node, S) contract.Routes
	// Feed is that of [node.Config]; nil if the service sends no webhooks.
	Feed func(*node.Node) webhooks.Feed
}

type grammar[S any] struct {
	Serve struct {
		settings.Node  `embed:""`
		settings.Kafka `embed:""`
		settings.HTTP  `embed:""`
		Own            S `embed:""`
	} `cmd:"" default:"withargs" help:"Serve ${serves} (default)."`
	Healthcheck struct {
		settings.AdminAddr `embed:""`
	} `cmd:"" help:"Check whether the process on this host is ready; exit with status 0 if it is."`
	Drain struct {
		settings.AdminAddr `embed:""`
	} `cmd:"" help:"Drain the process on this host: it takes no more clients, and finishes the requests in flight."`
	Version settings.VersionFlag `name:"version" help:"Show the version."`
}

// Run runs the program until ctx ends. It has the form that [process.Main] expects.
func (s Service[S]) Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var g grammar[S]
	command, err := settings.Program{
		Name: s.Name, Help: s.Help, Serves: s.Serves, HTTPAddr: s.HTTPAddr, AdminAddr: s.AdminAddr, Version: process.Version(),
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
	if err := g.Serve.SetDefaults(s.Role); err != nil {
		return err
	}
	return node.Run(ctx, node.Config{
		Role: s.Role, Node: g.Serve.Node, Kafka: g.Serve.Kafka, HTTP: g.Serve.HTTP, Stderr: stderr,
		Stores: snapshots.Providers{s3.Scheme: s3.Open, gcs.Scheme: gcs.Open, azure.Scheme: azure.Open},
		Feed:   s.Feed,
		Mount:  func(e *echo.Echo, n *node.Node) { contract.Mount(e, s.Routes(n, g.Serve.Own)) },
	})
}
