package embedded

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A pipe carries what one end of a connection within the process writes to the other. Unlike
// that of [net.Pipe] it has a buffer, so that to write a request or an answer is one step, in
// place of several switches between goroutines. The buffer has no bound of its own: a client
// has few requests under way, and the broker reads the next once it has answered one. One
// goroutine reads at a time; all else is safe from any.
type pipe struct {
	changed chan struct{} // gets a token when a reader has to look again

	mu       sync.Mutex
	data     []byte
	from     int  // where in data what was not read begins
	ended    bool // nothing more is written
	closed   bool // nothing more is read
	deadline time.Time
}

// keptBuffer is the largest buffer that an empty pipe keeps.
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

// take gives what is there, or else until when to wait.
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

// newPipeConns gives both ends.
func newPipeConns(addr net.Addr) (client, server net.Conn) {
	a, b := newPipe(), newPipe()
	return &pipeConn{a, b, addr}, &pipeConn{b, a, addr}
}

// Read waits for bytes from the other end. It returns io.EOF once that is closed.
func (c *pipeConn) Read(b []byte) (int, error) { return c.in.read(b) }

// Write never waits.
func (c *pipeConn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close ends reads and writes of both ends; the other may still read what was written.
func (c *pipeConn) Close() error {
	c.in.change(func() { c.in.closed = true })
	c.out.change(func() { c.out.ended = true })
	return nil
}

// LocalAddr is the broker's address.
func (c *pipeConn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr is the broker's address too: a pipe has none of its own.
func (c *pipeConn) RemoteAddr() net.Addr { return c.addr }

// SetDeadline bounds reads; writes never wait.
func (c *pipeConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline bounds reads, one that waits included.
func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline = t })
	return nil
}

// SetWriteDeadline does nothing.
func (c *pipeConn) SetWriteDeadline(time.Time) error { return nil }

// errStopped is why there are no more connections.
var errStopped = errors.New("the embedded broker was stopped")
