package node_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A node that is asked to stop while the broker accepts connections but does not answer
// stops in bounded time.
func TestANodeStopsWhileTheBrokerHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		once := sync.OnceFunc(func() { close(asked) })
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			once()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	_, stop := servicetest.RunNode(t, servicetest.StartBroker(t), "query-1", func(c *node.Config) { c.Brokers = []string{l.Addr().String()} })
	select {
	case <-asked:
	case <-servicetest.Context(t).Done():
		t.Fatal("got no request to the broker, want one")
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("got %v, want no error", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("got no stop within 20 seconds, want one")
	}
}
