package connection

import (
	"errors"
	"net"
	"sync"
)

// Limit returns a listener with at most n open connections. Further ones wait in the operating system
// until one of them ends.
//
// Unlike those of golang.org/x/net/netutil, its connections can close their writing side alone.
// Otherwise a client that is still sending when a server refuses its request, for example because the
// header is too large, gets a reset after the response in place of its end.
func Limit(l net.Listener, n int) net.Listener {
	return &limit{Listener: l, open: make(chan struct{}, n), closed: make(chan struct{})}
}

type limit struct {
	net.Listener
	open   chan struct{} // has a token for each open connection
	once   sync.Once
	closed chan struct{}
}

// Accept waits until the limit allows a connection, and then for one.
func (l *limit) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &limited{Conn: c, end: sync.OnceFunc(func() { <-l.open })}, nil
}

// Close closes the listener, and ends a pending Accept.
func (l *limit) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { close(l.closed) })
	return err
}

type limited struct {
	net.Conn
	end func()
}

// Close closes the connection and makes room for another one.
func (c *limited) Close() error {
	defer c.end()
	return c.Conn.Close()
}

// CloseWrite closes the writing side.
func (c *limited) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite closes the writing side of a connection, if the operating system's connection can do that.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
