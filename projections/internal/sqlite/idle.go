package sqlite

import (
	"errors"
	"io"
	"sync"
)

// idle keeps connections that no read uses, last in, first out, because recent connections have warm caches.
// Safe for concurrent use.
type idle[C io.Closer] struct {
	mu     sync.Mutex
	conns  []C
	closed bool
}

// errClosed is returned by take after Close.
var errClosed = errors.New("the connections are closed")

// take returns a connection, if there is one.
func (i *idle[C]) take() (c C, ok bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return c, false, errClosed
	}
	n := len(i.conns)
	if n == 0 {
		return c, false, nil
	}
	c = i.conns[n-1]
	i.conns = i.conns[:n-1]
	return c, true, nil
}

// put keeps a connection, or closes it after Close.
func (i *idle[C]) put(c C) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.closed {
		i.conns = append(i.conns, c)
		return
	}
	_ = c.Close() // nothing was written
}

func (i *idle[C]) len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.conns)
}

// Close closes the connections. Those in use are closed by put.
func (i *idle[C]) Close() error {
	i.mu.Lock()
	conns := i.conns
	i.conns, i.closed = nil, true
	i.mu.Unlock()
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
