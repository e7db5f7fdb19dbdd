// Package embedded runs a Kafka-protocol broker inside the process, with its log in a
// folder. It is for one machine: laptops, tests, small installations. Clients use the same code
// as for Apache Kafka, over TCP or within the process (see [Broker.Dial]), and any Kafka tool
// can inspect it. The log of the same process appends without a client (see [Broker.Attach]).
//
// The broker is franz-go's kfake. This package adds what kfake lacks as a store: it checks the
// whole log before kfake opens it ([Check]), records which part of the log is acknowledged,
// syncs what kfake writes, gives records the broker's time, and never delivers a damaged record.
package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
)

// A Broker is a running broker. Safe for concurrent use.
type Broker struct {
	cluster *kfake.Cluster
	gate    *gate
	keeper  *keeper
	addr    string
	close   sync.Once

	appenders *inprocess.Appenders
}

// Start opens the log in dir and listens on addr (host:port; port 0 picks a free one). It
// creates dir if it is missing. It advertises the same address to clients. Every append is on
// disk before it is acknowledged. The caller must own dir, because two brokers on one folder
// destroy it.
//
// Start reads the whole log first. If the log is damaged, Start returns a [*DamagedError] and
// leaves the folder unchanged. If an interrupted write at the end of the log was certainly never
// acknowledged, Start truncates it, keeps a copy and logs a warning.
func Start(dir, addr string, logger *slog.Logger) (*Broker, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create the broker's folder: %w", err)
	}
	logger = logger.With("component", "embedded-broker")
	checked, err := prepare(dir, addr, logger)
	if err != nil {
		return nil, err
	}
	syncer := newSyncer(dir, logger)
	appenders := inprocess.New(sizeOf(filepath.Join(dir, "pids.log")) > 0)
	gate := newGate(&guard{dir: dir, addr: addr, logger: logger, durable: syncer.flush, durableRecords: syncer.flushRecords, reported: appenders.AwaitReports})
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.DataDir(dir),
		kfake.ClusterID(clusterID),
		kfake.WithLogger(quiet{logger}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return gate, gate.listen(network, addr)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker on %s with its log in %s: %w", addr, dir, err)
	}
	b := &Broker{cluster: cluster, gate: gate, addr: cluster.ListenAddrs()[0], appenders: appenders}
	b.keeper = keep(dir, cluster, checked.mark, syncer, logger)
	b.appenders.Watch(cluster)
	date(cluster, checked.maxTime, b.keeper.settle, syncer.flushRecords, b.appenders)
	close(gate.open)
	return b, nil
}

// Addr returns the address that clients connect to, as host:port.
func (b *Broker) Addr() string { return b.addr }

// Dial connects a client. A connection to the broker itself stays within the process: it carries
// the same bytes, but without the network's system calls. For any other address Dial uses
// network, as [net.Dialer] does.
func (b *Broker) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == b.addr {
		return b.gate.dial(ctx)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Attach returns an appender for a topic, which need not exist yet. Close it before the broker.
func (b *Broker) Attach(ctx context.Context, topic string, source inprocess.Source) (*inprocess.Appender, error) {
	return b.appenders.Attach(topic, source, b.gate.Addr(), func(c net.Conn) error { return b.gate.connect(ctx, c) })
}

// Close stops the broker and closes its files. Appends that were not acknowledged may
// or may not be in the log. Further calls do nothing.
func (b *Broker) Close() { b.close.Do(func() { b.keeper.close(b.cluster.Close) }) }

// quiet logs only errors and warnings of the broker, which also logs each request.
type quiet struct{ logger *slog.Logger }

func (q quiet) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		q.logger.Error(fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		q.logger.Warn(fmt.Sprintf(format, args...))
	}
}
