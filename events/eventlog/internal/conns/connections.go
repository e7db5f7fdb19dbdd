// Package conns opens connections to brokers that can be cut at once.
package conns

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how connections are opened.
type Config struct {
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Encrypt returns the connection that encrypts plain, or plain itself.
	Encrypt func(ctx context.Context, plain net.Conn, addr string) (net.Conn, error)
	// Timeout is the maximum time for opening a connection.
	Timeout time.Duration
	// Denied returns an error that says why access was denied, or nil if err has another cause.
	Denied func(err error) error
}

// Connections are the connections of one client to the brokers. Sarama's calls take no context.
// If a broker accepts connections and never answers, such a call lasts for many read timeouts,
// one for each retry of each step. Cutting the connections ends it at once.
type Connections struct {
	config Config
	ctx    context.Context // ends when the connections are cut
	cancel context.CancelFunc

	denied atomic.Pointer[error] // why the last connection failed, if access was denied
	opened atomic.Int64

	mu   sync.Mutex
	open map[*connection]struct{}
}

// Open returns connections that are cut when ctx ends. Code that closes the client must
// also cut them, so that they do not stay open until then.
func (c Config) Open(ctx context.Context) *Connections {
	n := &Connections{config: c, open: map[*connection]struct{}{}}
	n.ctx, n.cancel = context.WithCancel(ctx)
	context.AfterFunc(n.ctx, n.closeAll)
	return n
}

// Opened returns the number of connections that have been opened so far. A connection counts before anything
// is sent over it.
func (n *Connections) Opened() int64 { return n.opened.Load() }

// Cut closes all connections and prevents new ones.
func (n *Connections) Cut() { n.cancel() }

// errCut is the error of connections after cut.
var errCut = errors.New("the broker did not answer in time, or the log was closed")

// Dial opens a connection for sarama.
func (n *Connections) Dial(network, addr string) (net.Conn, error) {
	return n.DialContext(n.ctx, network, addr)
}

// DialContext opens a connection.
func (n *Connections) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if n.ctx.Err() != nil {
		return nil, errCut
	}
	ctx, cancel := context.WithTimeout(ctx, n.config.Timeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	made, err := n.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	n.opened.Add(1)
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
func (n *Connections) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	plain, err := n.config.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	encrypted, err := n.config.Encrypt(ctx, plain, addr)
	if err != nil {
		_ = plain.Close()
		n.note(err)
		return nil, err
	}
	return encrypted, nil
}

// note keeps the error of a connection to which access was denied. Sarama reports only that it
// has run out of brokers.
func (n *Connections) note(err error) {
	if denied := n.config.Denied(err); denied != nil {
		n.denied.Store(&denied)
	}
}

// Explain returns err, or the error of the configuration's Denied if that is its cause.
func (n *Connections) Explain(err error) error {
	if denied := n.config.Denied(err); denied != nil {
		return denied
	}
	if denied := n.denied.Load(); denied != nil && err != nil {
		return *denied
	}
	return err
}

func (n *Connections) closeAll() {
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
	of *Connections
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
