package connection

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A Conn is a connection that [http.Server] serves. Its deadlines have the meaning that [net.Conn]
// describes. Only one goroutine may read at a time; all else is safe for concurrent use.
type Conn struct {
	net.Conn
	closed func(*Conn)
	cancel context.CancelFunc // ends the context of the connection; set before the first Read

	mu          sync.Mutex
	read, write deadline

	// A watch begins with the read of one byte with which net/http watches for the end of the
	// connection while a handler runs. It ends with the next Read.
	watching bool
	old      bool // the watch was there when the listener looked last
	hijacked bool // net/http no longer knows the connection
	watch    *watch
}

// A deadline is that of reads or of writes. The mutex of its connection guards it.
type deadline struct {
	system func(time.Time) error // sets the deadline of the operating system's connection
	// wanted is what was set last, and applied what the operating system's connection has. Reads and
	// writes make up for the difference.
	wanted, applied time.Time
	waiting         int // the number of calls that may wait, so that a new deadline is applied at once
}

// set sets the deadline.
func (d *deadline) set(t time.Time) error {
	if d.wanted = t; d.waiting > 0 {
		return d.apply()
	}
	return nil
}

// apply gives the wanted deadline to the operating system's connection.
func (d *deadline) apply() error {
	d.applied = d.wanted
	return d.system(d.wanted)
}

// begin precedes a call that may wait. It applies the deadline if the operating system's connection
// would wait too long.
func (d *deadline) begin() {
	d.waiting++
	if !d.wanted.IsZero() && (d.applied.IsZero() || d.wanted.Before(d.applied)) {
		_ = d.apply()
	}
}

// end follows a call. It returns true if a deadline that is no longer wanted has ended the call, which
// then has to be repeated.
func (d *deadline) end(err error) (again bool) {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && !d.applied.Equal(d.wanted) && d.apply() == nil {
		return true
	}
	d.waiting--
	return false
}

// A watch reads the byte that a client sends while a handler runs, which is mostly the end of the
// connection.
type watch struct {
	done chan struct{} // closed when the read has ended
	got  [1]byte
	n    int
}

// past is a deadline that makes reads return at once.
var past = time.Unix(1, 0)

// Read reads as [net.Conn] describes, except for the first read of a single byte after another one.
// That is net/http's watch: it returns nothing, which net/http accepts, and the listener watches from
// then on.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if len(p) == 1 && !c.watching && !c.hijacked {
		c.watching, c.old = true, false
		c.mu.Unlock()
		return 0, nil
	}
	if n := c.endWatch(p); n > 0 {
		c.mu.Unlock()
		return n, nil
	}
	c.read.begin()
	c.mu.Unlock()
	for {
		n, err := c.Conn.Read(p)
		c.mu.Lock()
		ended := err
		if n > 0 {
			ended = nil // the bytes are returned first
		}
		again := c.read.end(ended)
		c.mu.Unlock()
		if !again {
			return n, err
		}
	}
}

// Write writes as [net.Conn] describes.
func (c *Conn) Write(p []byte) (written int, err error) {
	c.mu.Lock()
	c.write.begin()
	c.mu.Unlock()
	for {
		n, err := c.Conn.Write(p[written:])
		written += n
		c.mu.Lock()
		again := c.write.end(err)
		c.mu.Unlock()
		if !again {
			return written, err
		}
	}
}

// SetReadDeadline sets the deadline of reads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read.set(t)
}

// SetWriteDeadline sets the deadline of writes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write.set(t)
}

// SetDeadline sets both deadlines. net/http calls it when a handler hijacks the connection. The
// watch for the end of the connection then ends too.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.hijacked = true
	c.mu.Unlock()
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close closes the connection, and ends its context.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.closed(c)
	c.cancel()
	return err
}

// CloseWrite closes the writing side, if the operating system's connection can do that.
func (c *Conn) CloseWrite() error { return closeWrite(c.Conn) }

// look begins to watch a connection whose handler has been running since the previous look.
func (c *Conn) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.watching || c.hijacked || c.watch != nil || c.read.waiting > 0:
	case !c.old:
		c.old = true
	default:
		c.read.applied = time.Time{}
		if c.Conn.SetReadDeadline(time.Time{}) != nil {
			return // it is closed
		}
		c.watch = &watch{done: make(chan struct{})}
		go c.run(c.watch)
	}
}

// run reads one byte, and ends the context of the connection if that fails.
func (c *Conn) run(w *watch) {
	defer close(w.done)
	n, err := c.Conn.Read(w.got[:])
	w.n = n
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.cancel()
	}
}

// endWatch ends a watch, and copies the byte that it has read into p. The caller holds the mutex.
func (c *Conn) endWatch(p []byte) int {
	c.watching = false
	w := c.watch
	if w == nil {
		return 0
	}
	c.watch = nil
	c.read.applied = past
	_ = c.Conn.SetReadDeadline(past) // fails only if the connection is closed, which ends the watch too
	<-w.done
	return copy(p, w.got[:w.n])
}
