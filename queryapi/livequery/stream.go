package livequery

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// pieceTimeout is how long a client may take to receive one piece. A client that takes longer is
// dropped. When it connects again it gets the rows as they are then.
const pieceTimeout = 20 * time.Second

// Timing has the durations of a stream.
type Timing struct {
	// First is how long the first rows may take.
	First time.Duration
	// Heartbeat is the pause after which an idle stream sends something. Life is how long a stream lasts
	// before the client has to connect again.
	Heartbeat, Life time.Duration
}

// Serve sends the rows of a query as server-sent events, as of a position or later, and again whenever they
// have changed. The stream ends when the client has disconnected or reads too slowly, when the query has ended,
// after a while, or when the server stops. The client then connects again, and is authorized again. Serve may
// return before that. The error is a problem, before anything was sent.
func (h *Hub) Serve(c echo.Context, q Query, atLeast events.Position, timing Timing) error {
	w, err := h.join(c.Request().Context(), q, timing)
	if err != nil {
		return err
	}
	s := session{watch: w, timing: timing, has: c.Request().Header.Get("Last-Event-ID"), sent: -1}
	state, moved, err := w.first(c.Request().Context(), atLeast, timing.First)
	if err == nil {
		s.room = len(state.Rows)
		err = web.ReserveMemory(c, s.room)
	}
	if err != nil {
		w.leave()
		return err
	}
	contract.BeginEventStream(c.Response().Header())
	return web.SendLive(c, pieceTimeout, func(ctx context.Context, out *web.Live) {
		defer w.leave()
		s.out, s.until = out, time.Now().Add(timing.Life+rand.N(timing.Life/4)) // so that clients do not all come at once
		s.follow(ctx, state, moved)
	})
}

// first waits for the rows as of a position. The error is a problem.
func (w *watch) first(ctx context.Context, atLeast events.Position, patience time.Duration) (State, <-chan struct{}, error) {
	w.mu.Lock()
	w.waiting++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.waiting--
		w.mu.Unlock()
	}()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		state, known, moved, failed := w.now()
		switch {
		case failed != nil:
			return state, nil, failed
		case known && (state.At >= atLeast || state.Stopped):
			return state, moved, nil
		}
		select {
		case <-moved:
		case <-timeout.C:
			return state, nil, problem.Overloaded.New("The rows could not be read in time. Retry later, or ask for less.")
		case <-ctx.Done():
			return state, nil, problem.NotReady.Because(ctx.Err(), "The client cancelled the request.")
		}
	}
}

// A session is the stream of one client. While it waits it costs a goroutine with a small stack, and its
// part of the memory of requests.
type session struct {
	watch  *watch
	timing Timing
	out    *web.Live
	until  time.Time       // when the client has to connect again
	has    string          // the tag of the rows that the client has
	sent   events.Position // the last position that the client got
	last   time.Time       // when something was sent
	// stopped is what the client knows.
	stopped bool
	room    int // the memory that was taken for rows that a slow client may keep from being freed
}

// follow sends what there is, and then what comes.
func (s *session) follow(ctx context.Context, state State, moved <-chan struct{}) {
	if s.out.Send(stream.Retry) != nil {
		return
	}
	draining := web.Draining(ctx)
	failed := error(nil)
	for failed == nil {
		if s.makeRoom(state) != nil || s.show(state) != nil {
			return
		}
		state = State{} // a client that waits holds no rows
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
		select {
		case <-draining:
			return
		default:
		}
		if !time.Now().Before(s.until) {
			return
		}
		state, _, moved, failed = s.watch.now()
	}
}

// makeRoom reserves memory for the rows, if they are larger than those before.
func (s *session) makeRoom(state State) error {
	more := len(state.Rows) - s.room
	if more <= 0 {
		return nil
	}
	s.room = len(state.Rows)
	return s.out.TryReserveMemory(more)
}

// show sends the rows if the client does not have them. At the beginning, and when nothing was sent for a
// while, it sends at least the position.
func (s *session) show(state State) error {
	idle := time.Since(s.last) > s.timing.Heartbeat/2
	var p stream.Piece
	switch {
	case state.Tag != s.has:
		s.has, s.sent, s.stopped = state.Tag, state.At, state.Stopped
		p = state.pieces.rows()
	case s.sent < 0, state.Stopped != s.stopped, idle && state.At != s.sent:
		s.sent, s.stopped = state.At, state.Stopped
		p = state.pieces.control()
	case idle:
		p = stream.Heartbeat
	default:
		return nil
	}
	s.last = time.Now()
	return s.out.Send(p)
}
