package embedded

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/clusterlite/clusterlite/events/embedded/inprocess"
)

// A gate accepts connections for the broker, over TCP and from within the process. It passes on
// no connection before it is open, so that no request arrives before the handlers that inspect
// requests are in place.
type gate struct {
	net.Listener
	open  chan struct{}
	guard *guard

	accepted chan accepted
	closed   chan struct{}
	close    sync.Once
}

type accepted struct {
	conn net.Conn
	err  error
}

func newGate(g *guard) *gate {
	return &gate{open: make(chan struct{}), guard: g, accepted: make(chan accepted), closed: make(chan struct{})}
}

// listen starts to listen on TCP.
func (g *gate) listen(network, addr string) (err error) {
	if g.Listener, err = net.Listen(network, addr); err != nil {
		return err
	}
	go func() {
		for {
			conn, err := g.Listener.Accept()
			select {
			case g.accepted <- accepted{conn, err}:
			case <-g.closed:
				if conn != nil {
					_ = conn.Close() // it was never served
				}
				return
			}
		}
	}()
	return nil
}

// dial connects from within the process.
func (g *gate) dial(ctx context.Context) (net.Conn, error) {
	client, server := inprocess.Pipe(g.Addr())
	return client, g.connect(ctx, server)
}

// connect gives the broker its end of a connection.
func (g *gate) connect(ctx context.Context, server net.Conn) error {
	select {
	case g.accepted <- accepted{conn: server}:
		return nil
	case <-g.closed:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Accept waits for the next connection.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case a := <-g.accepted:
		if a.err != nil {
			return nil, a.err
		}
		select {
		case <-g.open:
			return g.guard.wrap(a.conn), nil
		case <-g.closed:
			_ = a.conn.Close() // it was never served
		}
	case <-g.closed:
	}
	return nil, net.ErrClosed
}

// Close stops accepting.
func (g *gate) Close() error {
	g.close.Do(func() { close(g.closed) })
	return g.Listener.Close()
}

// errStopped is returned for a connection to a broker that was stopped.
var errStopped = errors.New("the embedded broker was stopped")
