// Package serve implements clusterlite serve, which runs everything in one process: both
// APIs, the projection, and an embedded broker. Only package cli imports it.
package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Command runs both APIs on one port over one shared projection, and an embedded broker, which
// it accesses with the same client code as any other broker.
type Command struct {
	settings.Node   `embed:""`
	settings.Topic  `embed:""`
	settings.Listen `embed:""`
	settings.HTTP   `embed:""`
	settings.Reads  `embed:""`
	settings.Writes `embed:""`
}

// Run serves until ctx ends.
func (s Command) Run(ctx context.Context, out subcommand.Streams) error {
	if err := s.SetDefaults("all"); err != nil {
		return err
	}
	return node.Run(ctx, node.Config{
		Role: "all", Node: s.Node, Kafka: settings.Kafka{Topic: s.Topic}, HTTP: s.HTTP, Stderr: out.Stderr, Stores: subcommand.Stores,
		Before: s.startBroker,
		Feed:   queryapi.WebhookFeed,
		Mount: func(e *echo.Echo, n *node.Node) {
			reads, writes := queryapi.New(n, s.Reads), commands.New(n, s.Writes)
			contract.Mount(e, reads.Routes(), writes.Routes())
		},
		Ready: func(n *node.Node) { s.greet(out.Stdout, n) },
	})
}

func (s Command) startBroker(_ context.Context, config *node.Config, logger *slog.Logger) (func() error, error) {
	b, err := embedded.Start(subcommand.BrokerDir(config.DataDir), s.KafkaListen, logger)
	if err != nil {
		return nil, err
	}
	config.Brokers, config.Dial, config.Attach = []string{b.Addr()}, b.Dial, b.Attach
	return func() error { b.Close(); return nil }, nil
}

// greet shows a new user the addresses, and what to try.
func (s Command) greet(w io.Writer, n *node.Node) {
	url := scheme(s.HTTP.TLS.CertFile) + reachable(n.API)
	_, _ = fmt.Fprintf(w, `ClusterLite is ready.
  API    %[1]s
  admin  %[2]s/status
  Kafka  %[3]s
  data   %[4]s
Try:
  curl -i %[1]s/users -H 'Content-Type: application/json' -d '{"name":"John Doe","email":"john@example.com"}'
  curl -i %[1]s/users
  curl -i %[1]s/users/<id>
`, url, scheme(s.AdminTLS.CertFile)+n.Admin.String(), n.Brokers[0], n.DataDir)
}

// scheme returns how the URLs of a listener begin.
func scheme(certFile string) string {
	if certFile != "" {
		return "https://"
	}
	return "http://"
}

// reachable returns an address that a client on this host can use.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
