package servicetest

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// RunNode runs a query node without an API on the broker until stop or the end of the test.
// change, if not nil, changes its configuration. The node is sent to ready once it is ready. The
// first call of stop returns the result of its Run.
func RunNode(t testing.TB, b *Broker, name string, change func(*node.Config)) (ready <-chan *node.Node, stop func() error) {
	t.Helper()
	is := make(chan *node.Node, 1)
	config := node.Config{
		Role:   "query",
		Node:   settings.Node{NodeID: name, HTTPAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", DataDir: t.TempDir(), ReadyLag: time.Minute, SelfRepair: true, LogFormat: "text", LogLevel: "info"},
		Kafka:  settings.Kafka{Brokers: []string{b.addr}, Topic: settings.Topic{Topic: "clusterlite.events"}},
		HTTP:   settings.HTTP{MaxBody: 1 << 20, Compress: true, CORSOrigins: []string{"*"}},
		Stderr: io.Discard,
		Mount:  func(*echo.Echo, *node.Node) {},
		Ready:  func(n *node.Node) { is <- n },
	}
	if change != nil {
		change(&config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- node.Run(ctx, config) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ran
	})
	t.Cleanup(func() { _ = stop() })
	return is, stop
}

// StartNode runs a node as [RunNode] does and waits until it is ready.
func StartNode(t testing.TB, b *Broker, name string) (n *node.Node, stop func() error) {
	t.Helper()
	ready, stop := RunNode(t, b, name, nil)
	select {
	case n := <-ready:
		return n, stop
	case <-Context(t).Done():
		t.Fatalf("got no readiness of node %s in time, want it", name)
		return nil, nil
	}
}
