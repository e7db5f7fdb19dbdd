package node_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A slowNetwork carries everything at once except the first announcement. If the node closes the
// connection, the announcement arrives only once the node has stopped, as the last packets of a
// closed connection may.
type slowNetwork struct {
	announcements atomic.Int32
	sent          chan struct{} // closed when the node has sent the first announcement
	stopped       chan struct{} // closed by the test when the node has stopped
	arrived       chan struct{} // closed when the first announcement has reached the broker
}

func (s *slowNetwork) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &slowConn{Conn: c, network: s, closed: make(chan struct{})}, nil
}

type slowConn struct {
	net.Conn
	network *slowNetwork
	holds   atomic.Bool
	once    sync.Once
	closed  chan struct{}
}

// Write sends a request, which the client writes in one piece.
func (c *slowConn) Write(request []byte) (int, error) {
	const offsetCommit = 8 // the key of the request that announces
	if len(request) < 6 || binary.BigEndian.Uint16(request[4:]) != offsetCommit || c.network.announcements.Add(1) > 1 {
		return c.Conn.Write(request)
	}
	c.holds.Store(true)
	go c.deliver(append([]byte(nil), request...))
	close(c.network.sent)
	return len(request), nil
}

func (c *slowConn) deliver(request []byte) {
	defer close(c.network.arrived)
	const delay = 200 * time.Millisecond
	select {
	case <-time.After(delay):
		_, _ = c.Conn.Write(request)
	case <-c.closed:
		<-c.network.stopped
		_ = c.SetDeadline(time.Time{}) // that of the client may have passed
		_, _ = c.Conn.Write(request)
		_, _ = io.ReadFull(c.Conn, make([]byte, 4)) // the broker has answered
		_ = c.Conn.Close()
	}
}

// Close closes the connection, except to the announcement that it still carries.
func (c *slowConn) Close() error {
	if c.holds.Load() {
		c.once.Do(func() { close(c.closed) })
		select {
		case <-c.network.arrived:
		default:
			return nil
		}
	}
	return c.Conn.Close()
}

// The broker keeps the announcement that arrives last. So the last one says that the node left,
// even if an earlier one is still on its way when the node stops.
func TestTheFarewellIsTheLastAnnouncement(t *testing.T) {
	b := servicetest.StartBroker(t)
	network := &slowNetwork{sent: make(chan struct{}), stopped: make(chan struct{}), arrived: make(chan struct{})}
	_, stop := servicetest.RunNode(t, b, "query-1", func(config *node.Config) { config.Dial = network.dial })
	wait(t, network.sent, "an announcement that is sent")
	err := stop()
	close(network.stopped)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, network.arrived, "an announcement that arrives")
	entries, err := roster.List(servicetest.Context(t), b.OpenLog())
	if err != nil || len(entries) != 1 || entries[0].State != roster.Left {
		t.Errorf("got %+v, %v, want query-1 as a node that left", entries, err)
	}
}

// An outage of the broker that ends soon after the node was asked to stop does not leave the
// node in the roster as running.
func TestTheFarewellIsRetried(t *testing.T) {
	b := servicetest.StartBroker(t)
	n, stop := servicetest.StartNode(t, b, "query-1")
	await(t, b.OpenLog(), "running", func(e roster.Entry) bool { return e.State == roster.Running })
	b.Close()
	for ctx := servicetest.Context(t); n.Log.Reachable(); time.Sleep(time.Millisecond) {
		if _, err := n.Log.End(ctx); ctx.Err() != nil {
			t.Fatalf("got %v, want that the node notices the outage", err)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	wait(t, refused(t, n.API.String()), "the end of the API")
	b.Restart()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	entries, err := roster.List(servicetest.Context(t), b.OpenLog())
	if err != nil || len(entries) != 1 || entries[0].State != roster.Left {
		t.Errorf("got %+v, %v, want query-1 as a node that left", entries, err)
	}
}

// wait waits until c is closed.
func wait(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-servicetest.Context(t).Done():
		t.Fatalf("got no end of the wait in time, want %s", what)
	}
}

// refused returns a channel that is closed once no one listens on addr.
func refused(t *testing.T, addr string) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for t.Context().Err() == nil {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			_ = c.Close()
			time.Sleep(time.Millisecond)
		}
	}()
	return ended
}
