package inprocess

import (
	"io"
	"net"
	"sync"
	"time"
)

// A Conn is the broker's end of a connection without a client. Each signal lets the broker
// read one more copy of a constant request. Signals that come before the broker has received that
// request need no further one.
type Conn struct {
	addr     net.Addr
	request  []byte
	answered func(answer []byte) // called for each answer, one at a time
	ended    func()              // called once, when the connection is closed

	signalled chan struct{} // gets a token for each copy of the request
	closed    chan struct{}
	rest      []byte // the part of the request that the broker has not read; used by Read only

	mu      sync.Mutex
	pending bool // a signal was given whose request the broker has not received
	over    bool
}

func newConn(addr net.Addr, request []byte, answered func([]byte), ended func()) *Conn {
	return &Conn{addr: addr, request: request, answered: answered, ended: ended, signalled: make(chan struct{}, 1), closed: make(chan struct{})}
}

// signal makes the broker read a request, unless the connection is closed.
func (c *Conn) signal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pending && !c.over {
		c.pending = true
		c.signalled <- struct{}{}
	}
}

// received is called when the broker handles a request.
func (c *Conn) received() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = false
}

// Read waits for a signal. Only one goroutine may read at a time.
func (c *Conn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		select {
		case <-c.signalled:
			c.rest = c.request
		case <-c.closed:
			return 0, io.EOF
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write gets one whole answer.
func (c *Conn) Write(answer []byte) (int, error) {
	c.answered(answer)
	return len(answer), nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.mu.Lock()
	over := c.over
	c.over = true
	c.mu.Unlock()
	if !over {
		close(c.closed)
		c.ended()
	}
	return nil
}

// LocalAddr is the broker's address.
func (c *Conn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr is the broker's address too, because there is no client.
func (c *Conn) RemoteAddr() net.Addr { return c.addr }

// SetDeadline does nothing: a read may wait forever, and writes never wait.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
