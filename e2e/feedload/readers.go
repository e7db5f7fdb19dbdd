//go:build linux

package feedload

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// readersVariable makes the program of this package's tests run the clients: see runReaders.
const readersVariable = "CLUSTERLITE_FEEDLOAD_READERS"

// An order is what the clients are to do: their number, of which each so many-th notes when changes arrive,
// and the offset to start from.
type order struct {
	Clients, Sampled int
	Port             int
	Offset           int64
}

// A result is what a client got.
type result struct {
	Bytes    int64
	Digest   uint32
	Offset   int64
	Connects int
	Samples  []sample
}

// readers are many clients that one goroutine serves.
type readers struct {
	clients []*client
	byFD    map[int32]*client
	epoll   int
	buffer  []byte
	port    atomic.Int64
	until   atomic.Int64 // the offset at which all are done, or 0
	// delivered is the sum of the offsets of all clients, which is the number of changes that they got if
	// every record is a change.
	delivered atomic.Int64
}

// pause is how long a client waits before it connects again.
const pause = 20 * time.Millisecond

// runReaders reads an order and then commands from a reader, one on each line. It writes the answers, one on
// each line:
//
//   - "count" asks for the number of changes that the clients got;
//   - "port N" is where they connect next;
//   - "until N" ends the program once all clients have reached an offset. It then writes their results, as JSON.
func runReaders(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return errors.New("got no order")
	}
	var o order
	if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
		return err
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	r := &readers{byFD: map[int32]*client{}, epoll: epoll, buffer: make([]byte, 1<<20)}
	r.port.Store(int64(o.Port))
	for i := range o.Clients {
		r.clients = append(r.clients, &client{offset: o.Offset, fd: -1, sampled: i%o.Sampled == 0})
	}
	failed := make(chan error, 1)
	go func() {
		for lines.Scan() {
			word, number, _ := strings.Cut(lines.Text(), " ")
			n, _ := strconv.ParseInt(number, 10, 64)
			switch word {
			case "count":
				_, _ = fmt.Fprintln(out, r.delivered.Load()) // the parent notices if it is gone
			case "port":
				r.port.Store(n)
			case "until":
				r.until.Store(n)
			}
		}
		os.Exit(1) // the parent is gone
	}()
	go func() { failed <- r.run() }()
	if err := <-failed; err != nil {
		return err
	}
	var results []result
	for _, c := range r.clients {
		results = append(results, result{Bytes: c.got.bytes, Digest: c.got.digest, Offset: c.offset, Connects: c.connects, Samples: c.samples})
	}
	return json.NewEncoder(out).Encode(results)
}

// run serves the clients until all of them are done. The error is a response that no client should get.
func (r *readers) run() error {
	events := make([]syscall.EpollEvent, 256)
	for checked := time.Now(); ; {
		n, err := syscall.EpollWait(r.epoll, events, 10)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return err
		}
		for _, e := range events[:max(0, n)] {
			if err := r.serve(r.byFD[e.Fd], e.Events); err != nil {
				return err
			}
		}
		if now := time.Now(); now.Sub(checked) > 5*time.Millisecond {
			checked = now
			if r.connect(now) {
				return nil
			}
		}
	}
}

// serve does what a client's connection is ready for.
func (r *readers) serve(c *client, ready uint32) error {
	var err error
	if ready&syscall.EPOLLOUT != 0 {
		if err = c.ask(); err == nil {
			err = syscall.EpollCtl(r.epoll, syscall.EPOLL_CTL_MOD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)})
		}
	} else {
		before := c.offset
		err = c.receive(r.buffer)
		r.delivered.Add(c.offset - before)
	}
	if err == nil {
		return nil
	}
	delete(r.byFD, int32(c.fd))
	c.close()
	c.retryAt = time.Now().Add(pause)
	var unexpected *unexpectedError
	if errors.As(err, &unexpected) {
		return err
	}
	return nil // it connects again
}

// connect connects the clients that are not connected. It reports whether all clients are done.
func (r *readers) connect(now time.Time) (done bool) {
	until := r.until.Load()
	done = until > 0
	for _, c := range r.clients {
		done = done && c.offset >= until
		if c.fd >= 0 || now.Before(c.retryAt) {
			continue
		}
		if err := c.dial(int(r.port.Load())); err != nil {
			c.retryAt = now.Add(pause)
			continue
		}
		r.byFD[int32(c.fd)] = c
		if err := syscall.EpollCtl(r.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLOUT, Fd: int32(c.fd)}); err != nil {
			delete(r.byFD, int32(c.fd))
			c.close()
		}
	}
	return done
}
