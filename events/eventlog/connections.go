package eventlog

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/IBM/sarama"
)

// connections are the connections of one client to the brokers. Sarama's calls take no context.
// If a broker accepts connections and never answers, such a call lasts for many read timeouts,
// one for each retry of each step. Cutting the connections ends it at once.
type connections struct {
	config Config
	ctx    context.Context // ends when the connections are cut
	cancel context.CancelFunc

	access atomic.Pointer[AccessError] // why the last connection failed, if access was denied

	mu   sync.Mutex
	open map[*connection]struct{}
}

// newConnections returns connections that are cut when ctx ends. Code that closes the client must
// also cut them, so that they do not stay open until then.
func (c Config) newConnections(ctx context.Context) *connections {
	n := &connections{config: c, open: map[*connection]struct{}{}}
	n.ctx, n.cancel = context.WithCancel(ctx)
	context.AfterFunc(n.ctx, n.closeAll)
	return n
}

// dialWith makes a client of sarama open its connections so that they can be cut.
func (l *Log) dialWith(ctx context.Context, c *sarama.Config) *connections {
	n := l.config.newConnections(ctx)
	c.Net.Proxy.Enable, c.Net.Proxy.Dialer = true, n // the place where sarama accepts a dialer
	return n
}

// cut closes all connections and prevents new ones.
func (n *connections) cut() { n.cancel() }

// errCut is the error of connections after cut.
var errCut = errors.New("the broker did not answer in time, or the log was closed")

// Dial opens a connection for sarama.
func (n *connections) Dial(network, addr string) (net.Conn, error) {
	return n.dial(n.ctx, network, addr)
}

// dial opens a connection.
func (n *connections) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.ctx.Err() != nil {
		return nil, errCut
	}
	ctx, cancel := context.WithTimeout(ctx, n.config.AskTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	made, err := n.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &connection{made, n}
	n.mu.Lock()
	n.open[c] = struct{}{}
	n.mu.Unlock()
	if n.ctx.Err() != nil { // cut may have missed this connection
		_ = c.Close()
		return nil, errCut
	}
	return c, nil
}

// connect opens a connection, and encrypts it if the brokers require that.
func (n *connections) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	plain, err := n.config.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	encrypted, err := n.config.Security.encrypt(ctx, plain, addr)
	if err != nil {
		_ = plain.Close()
		n.note(err)
		return nil, err
	}
	return encrypted, nil
}

// note keeps the error of a connection to which access was denied. Sarama reports only that it
// has run out of brokers.
func (n *connections) note(err error) {
	if access := accessError(err); access != nil {
		n.access.Store(access)
	}
}

// explain returns err, or an [AccessError] if that is its cause.
func (n *connections) explain(err error) error {
	if access := accessError(err); access != nil {
		return access
	}
	if access := n.access.Load(); access != nil && err != nil {
		return access
	}
	return err
}

func (n *connections) closeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		_ = c.Conn.Close() // the client closes it again
	}
	clear(n.open)
}

// A connection is one of the connections of a client.
type connection struct {
	net.Conn
	of *connections
}

// Close closes the connection.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// Read implements [net.Conn]. With TLS 1.3, a broker rejects a certificate of the client only
// after the handshake, so the error appears here.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.of.note(err)
	}
	return n, err
}
