// Package inprocess connects a log to the embedded broker of its process, without the network:
// [Pipe] makes connections for clients, and an [Appender] appends without a client.
package inprocess

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A pipe carries the bytes from one end of a connection within the process to the other. Unlike
// [net.Pipe] it has a buffer, so that writing a request or an answer is one step instead of
// several switches between goroutines. The buffer needs no limit: a client has few requests in
// progress, and the broker reads the next one once it has answered the last. Only one goroutine
// may read at a time; all other methods are safe for concurrent use.
type pipe struct {
	changed chan struct{} // gets a token when a reader has to check again

	mu       sync.Mutex
	data     []byte
	from     int  // the position of the first unread byte in data
	ended    bool // the writer has closed its end
	closed   bool // the reader has closed its end
	deadline time.Time
}

// keptBuffer is the maximum size in bytes of the buffer that an empty pipe keeps.
const keptBuffer = 64 << 10

func newPipe() *pipe { return &pipe{changed: make(chan struct{}, 1)} }

func (p *pipe) change(to func()) {
	p.mu.Lock()
	to()
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.change(func() {
		if p.ended || p.closed {
			err = io.ErrClosedPipe
			return
		}
		p.data, n = append(p.data, b...), len(b)
	})
	return n, err
}

func (p *pipe) read(b []byte) (int, error) {
	for {
		n, deadline, err := p.take(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		if deadline.IsZero() {
			<-p.changed
			continue
		}
		timer := time.NewTimer(time.Until(deadline))
		select {
		case <-p.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// take copies the bytes that are available. If there are none, it returns the deadline for waiting.
func (p *pipe) take(b []byte) (n int, deadline time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, deadline, net.ErrClosed
	case !p.deadline.IsZero() && !time.Now().Before(p.deadline):
		return 0, deadline, os.ErrDeadlineExceeded
	case p.from == len(p.data) && p.ended:
		return 0, deadline, io.EOF
	}
	n = copy(b, p.data[p.from:])
	if p.from += n; p.from == len(p.data) {
		p.data, p.from = p.data[:0], 0
		if cap(p.data) > keptBuffer {
			p.data = nil
		}
	}
	return n, p.deadline, nil
}

// pipeConn is one end of a connection within the process.
type pipeConn struct {
	in, out *pipe
	addr    net.Addr // the broker's
}

// Pipe returns both ends of a new connection.
func Pipe(addr net.Addr) (client, server net.Conn) {
	a, b := newPipe(), newPipe()
	return &pipeConn{a, b, addr}, &pipeConn{b, a, addr}
}

// Read waits for bytes from the other end. It returns io.EOF once the other end is closed.
func (c *pipeConn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write never waits.
func (c *pipeConn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close ends reads and writes of both ends. The other end can still read what was written.
func (c *pipeConn) Close() error {
	c.in.change(func() { c.in.closed = true })
	c.out.change(func() { c.out.ended = true })
	return nil
}

// LocalAddr is the broker's address.
func (c *pipeConn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr is the broker's address too, because a pipe has no address.
func (c *pipeConn) RemoteAddr() net.Addr { return c.addr }

// SetDeadline bounds reads; writes never wait.
func (c *pipeConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds reads, including one that is already waiting.
func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline = t })
	return nil
}

// SetWriteDeadline does nothing.
func (c *pipeConn) SetWriteDeadline(time.Time) error { return nil }
