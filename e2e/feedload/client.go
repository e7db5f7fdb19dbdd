//go:build linux

package feedload

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// A client follows the feed by server-sent events, at whichever node is there. It reads HTTP/1.1 itself,
// without a buffer or a goroutine of its own.
type client struct {
	offset   int64 // after the events that it has
	got      flow
	samples  []sample // when its changes arrived, if it is sampled
	sampled  bool
	connects int

	fd      int // -1 while it is not connected
	rest    []byte
	head    bool // the head of the response has been read
	retryAt time.Time
}

// A sample is the arrival of a change.
type sample struct {
	Position int64
	At       int64 // nanoseconds since 1970
}

var errEnded = errors.New("the response has ended")

// An unexpectedError is a response that no client should get.
type unexpectedError struct{ what string }

func (e *unexpectedError) Error() string { return e.what }

// dial begins a connection to a node. The request can be sent once the socket is writable.
func (c *client) dial(port int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		_ = syscall.Close(fd)
		return err
	}
	c.fd, c.head, c.rest = fd, false, c.rest[:0]
	return nil
}

// ask sends the request.
func (c *client) ask() error {
	request := fmt.Sprintf("GET /users/changes?live=sse&offset=%016d HTTP/1.1\r\nHost: node\r\n\r\n", c.offset)
	_, err := syscall.Write(c.fd, []byte(request)) // a new connection has room for it
	return err
}

// close ends the connection, if there is one.
func (c *client) close() {
	if c.fd >= 0 {
		_ = syscall.Close(c.fd)
		c.fd = -1
	}
}

// receive reads what has come, into a buffer that all clients share. Any error ends the connection.
func (c *client) receive(buffer []byte) error {
	kept := copy(buffer, c.rest)
	n, err := syscall.Read(c.fd, buffer[kept:])
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errEnded
	}
	data := buffer[:kept+n]
	rest, err := c.parse(data, time.Now())
	c.rest = append(c.rest[:0], rest...)
	return err
}

// parse takes all complete chunks of the response, and returns what is left.
func (c *client) parse(data []byte, now time.Time) (rest []byte, err error) {
	if !c.head {
		head, after, complete := bytes.Cut(data, []byte("\r\n\r\n"))
		if !complete {
			return data, nil
		}
		switch status := string(head[:min(len(head), len("HTTP/1.1 200"))]); status {
		case "HTTP/1.1 200":
		case "HTTP/1.1 503":
			return nil, errEnded
		default:
			return nil, &unexpectedError{fmt.Sprintf("from %d: got %.300q", c.offset, data)}
		}
		c.connects++
		c.head, data = true, after
	}
	for {
		digits, after, complete := bytes.Cut(data, []byte("\r\n"))
		if !complete {
			return data, nil
		}
		size, err := strconv.ParseUint(string(digits), 16, 31)
		if err != nil {
			return nil, &unexpectedError{fmt.Sprintf("got the size of a chunk %.50q", digits)}
		}
		if size == 0 {
			return nil, errEnded
		}
		if len(after) < int(size)+2 {
			return data, nil
		}
		if err := c.take(after[:size], now); err != nil {
			return nil, err
		}
		data = after[size+2:]
	}
}

var (
	data = []byte("data:[")
	id   = []byte("id: ")
	end  = []byte("]")
)

// take takes a chunk, which consists of whole events.
func (c *client) take(events []byte, now time.Time) error {
	if !bytes.HasSuffix(events, []byte("\n\n")) {
		return &unexpectedError{fmt.Sprintf("got a part of an event: %.100q", events)}
	}
	next := c.got // counts when the event is complete
	for len(events) > 0 {
		i := bytes.IndexByte(events, '\n')
		line := events[:i]
		events = events[i+1:]
		switch {
		case bytes.HasPrefix(line, data):
			changes := bytes.TrimSuffix(line[len(data):], end)
			if next = c.got.after(changes); c.sampled {
				c.note(changes, now)
			}
		case bytes.HasPrefix(line, id):
			offset, err := strconv.ParseInt(string(line[len(id):]), 10, 64)
			if err != nil || offset < c.offset {
				return &unexpectedError{fmt.Sprintf("got the offset %q after %d", line, c.offset)}
			}
			c.got, c.offset = next, offset
		}
	}
	return nil
}

// note notes when changes arrived.
func (c *client) note(changes []byte, now time.Time) {
	for {
		_, after, found := bytes.Cut(changes, []byte(`"position":"`))
		if !found {
			return
		}
		digits, _, _ := bytes.Cut(after, []byte(`"`))
		position, _ := strconv.ParseInt(string(digits), 10, 64)
		c.samples = append(c.samples, sample{position, now.UnixNano()})
		changes = after
	}
}
