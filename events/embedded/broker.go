// Package embedded runs a Kafka-protocol broker inside the process, with its log in a
// folder. It is for one machine: laptops, tests, small installations. Everything talks
// to it over TCP with the same client code as to Apache Kafka, and any Kafka tool can
// look into it.
package embedded

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"
)

// A Broker is a running broker. Safe for concurrent use.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// Start opens the log in dir, which it makes if it is missing, and listens on addr
// (host:port; port 0 picks a free one). Clients are told to connect to that same
// address. Every append is on disk before it is acknowledged. The caller must own dir:
// two brokers on one folder destroy it.
func Start(dir, addr string, logger *slog.Logger) (*Broker, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the broker's folder: %w", err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.DataDir(dir),
		kfake.SyncWrites(),
		kfake.ClusterID("clusterlite"),
		kfake.WithLogger(quiet{logger}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return net.Listen(network, addr)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker on %s with its log in %s: %w", addr, dir, err)
	}
	return &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]}, nil
}

// Addr is the address that clients connect to, host:port.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and closes its files. Appends that were not acknowledged may
// or may not be in the log.
func (b *Broker) Close() { b.cluster.Close() }

// quiet hands on only what an operator has to know; the broker logs each request.
type quiet struct{ logger *slog.Logger }

func (q quiet) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		q.logger.Error(fmt.Sprintf(format, args...), "component", "embedded-broker")
	case kfake.LogLevelWarn:
		q.logger.Warn(fmt.Sprintf(format, args...), "component", "embedded-broker")
	}
}
