package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/overload"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
)

// A Live is a response without an end in sight, which is sent piece by piece. Use it from one
// goroutine.
type Live struct {
	conn    net.Conn      // nil if the response goes through the server
	through stream.Writer // otherwise
	timeout time.Duration
	renew   time.Time         // when the deadline has to be set again
	memory  *overload.Account // nil if the server has no limits
}

// TryReserveMemory is the function [TryReserveMemory] for the response. The memory is reserved until the
// response ends, as is what the handler reserved.
func (l *Live) TryReserveMemory(n int) error {
	if l.memory == nil {
		return nil
	}
	return l.memory.TryTake(int64(n))
}

// Send sends a piece at once. The client has the timeout of the response to receive it, and up to a quarter
// more. An error means that the client has disconnected, or has not read in time.
func (l *Live) Send(p stream.Piece) error {
	if l.conn == nil {
		return l.through.Send(p.Content())
	}
	if now := time.Now(); !now.Before(l.renew) {
		// Not for each piece, because that took 3 % of the time of a node that sends many.
		l.renew = now.Add(l.timeout / 4)
		_ = l.conn.SetWriteDeadline(l.renew.Add(l.timeout)) // fails only if the write fails too
	}
	if _, err := l.conn.Write(p.Chunk()); err != nil {
		return fmt.Errorf("send part of a response: %w", err)
	}
	return nil
}

func (l *Live) release() {
	if l.memory != nil {
		l.memory.Close()
	}
}

// SendLive sends the header of a response with status 200, and calls serve once to send the body. The
// client has the given time to receive each piece. The response ends when serve returns.
//
// A handler that waits costs the buffers of its connection, what the server keeps of the request, and
// a deep stack: 30 KiB for each client that follows something. So if the protocol is HTTP/1.1, serve
// runs in a goroutine of its own, with nothing but the connection, while the handler returns. It must
// not use the echo context then. Metrics count the request as in flight until serve returns; its
// duration is that of the handler. A client that disconnects is noticed when something is sent.
//
// The context of serve has the channel of [Draining], and nothing else of the request.
func SendLive(c echo.Context, timeout time.Duration, serve func(context.Context, *Live)) error {
	w, r := c.Response(), c.Request()
	server, _ := r.Context().Value(servingKey{}).(*serving)
	alone := server != nil && r.ProtoMajor == 1 && r.ProtoMinor >= 1 && r.ContentLength == 0
	if alone {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(http.StatusOK)
	if alone {
		w.Flush()
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			l := &Live{conn: conn, timeout: timeout}
			if a := admissionOf(c); a != nil {
				l.memory = a.handOver()
			}
			server.serve(conn, c, func() {
				defer l.release()
				serve(server.ctx, l)
			})
			return nil
		}
	}
	l := &Live{through: stream.NewWriter(w, timeout)}
	if a := admissionOf(c); a != nil {
		l.memory = &a.Account
	}
	defer l.through.End()
	serve(r.Context(), l)
	return nil
}

// Beat calls wake at intervals, and when the server of a request drains, until ctx ends. So many live
// responses that wait for the same need no clock of their own.
func Beat(ctx context.Context, every time.Duration, draining <-chan struct{}, wake func()) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-draining:
			draining = nil
		case <-ticks.C:
		}
		wake()
	}
}

type servingKey struct{}

// serving is what the requests of a server have in common: that it drains, and the connections that it
// no longer knows.
type serving struct {
	draining chan struct{}
	ctx      context.Context
	logger   *slog.Logger

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	ended  bool // no connection is added
	served sync.WaitGroup
}

func newServing(logger *slog.Logger) *serving {
	s := &serving{draining: make(chan struct{}), logger: logger, conns: map[net.Conn]struct{}{}}
	s.ctx = context.WithValue(context.Background(), servingKey{}, s)
	return s
}

// serve runs do in a goroutine, then ends the response and closes the connection.
func (s *serving) serve(conn net.Conn, c echo.Context, do func()) {
	if !s.add(conn) {
		_ = conn.Close()
		do() // ends at its first piece
		return
	}
	done := func() {}
	if r := requestOf(c); r != nil && r.inFlight != nil {
		r.inFlight.Inc()
		done = r.inFlight.Dec
	}
	go func() {
		defer s.served.Done()
		defer done()
		defer s.drop(conn)
		if err := Guard(func() error { do(); return nil }); err != nil {
			s.logger.Error("a live response failed", "err", err)
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte("0\r\n\r\n")) // the last chunk; the client may be gone
	}()
}

// add adds a connection, unless the server has ended.
func (s *serving) add(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.conns[conn] = struct{}{}
	s.served.Add(1)
	return true
}

func (s *serving) drop(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// end waits until all live responses have ended. When ctx ends, it breaks them off.
func (s *serving) end(ctx context.Context) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for conn := range s.conns {
			_ = conn.Close()
		}
	})
	defer stop()
	s.served.Wait()
}
