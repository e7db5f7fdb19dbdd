// Package connection makes the connections of [http.Server] cost less for each request.
//
// net/http sets six deadlines for each request, handlers set more, and net/http starts a goroutine that
// reads while the handler runs, to notice that the client has disconnected. Most handlers end long before
// any of that matters. So a [Conn] changes the deadline of the operating system's connection only when
// that makes a difference, and a [Listener] watches only the connections whose handlers have been running
// for a while. Handlers and clients notice one difference: if a client disconnects soon after its request,
// the context of the request ends a little later.
package connection

import (
	"context"
	"net"
	"sync"
	"time"
)

// patience is the interval at which a listener looks for requests that take long. It begins to watch
// the connection of such a request after one to two intervals.
const patience = 50 * time.Millisecond

// A Listener accepts connections for one [http.Server] without TLS, whose ConnContext is
// [Listener.Context].
type Listener struct {
	net.Listener
	stop     chan struct{}
	once     sync.Once
	accepted chan struct{} // gets a token when a connection is accepted and there is none besides

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// Listen returns a listener that accepts the connections of another one. The caller must call
// [Listener.Stop] once the connections have ended.
func Listen(l net.Listener) *Listener {
	own := &Listener{Listener: l, stop: make(chan struct{}), accepted: make(chan struct{}, 1), conns: map[*Conn]struct{}{}}
	go own.run()
	return own
}

// Accept waits for the next connection, which is a [Conn].
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		Conn: conn, closed: l.forget, cancel: func() {},
		read: deadline{system: conn.SetReadDeadline}, write: deadline{system: conn.SetWriteDeadline},
	}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	first := len(l.conns) == 1
	l.mu.Unlock()
	if first {
		select {
		case l.accepted <- struct{}{}:
		default:
		}
	}
	return c, nil
}

// Context returns the context of a connection, which ends when the client disconnects.
func (l *Listener) Context(ctx context.Context, conn net.Conn) context.Context {
	c, ok := conn.(*Conn)
	if !ok {
		return ctx
	}
	ctx, c.cancel = context.WithCancel(ctx)
	return ctx
}

// Stop ends the watch for connections that end. It does not close the listener.
func (l *Listener) Stop() { l.once.Do(func() { close(l.stop) }) }

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// run looks at the connections while there are any.
func (l *Listener) run() {
	ticker := time.NewTicker(patience)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !l.look() {
				ticker.Stop()
			}
		case <-l.accepted:
			ticker.Reset(patience)
		case <-l.stop:
			return
		}
	}
}

// look looks at all connections. It reports whether there are any.
func (l *Listener) look() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.look()
	}
	return len(l.conns) > 0
}
