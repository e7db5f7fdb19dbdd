package livequery

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
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
// have changed. It returns when the client has disconnected or reads too slowly, when the query has ended,
// after a while, or when the server stops. The client then connects again, and is authorized again. The
// error is a problem, before anything was sent.
func (h *Hub) Serve(c echo.Context, q Query, atLeast events.Position, timing Timing) error {
	w, err := h.join(q)
	if err != nil {
		return err
	}
	defer w.leave()
	state, moved, err := w.first(c.Request().Context(), atLeast, timing.First)
	if err != nil {
		return err
	}
	s := session{c: c, watch: w, has: c.Request().Header.Get("Last-Event-ID"), sent: -1}
	if err := s.takeMemory(state, web.ReserveMemory); err != nil {
		return err
	}
	contract.BeginEventStream(c.Response().Header())
	c.Response().WriteHeader(http.StatusOK)
	s.out = stream.NewWriter(c.Response(), pieceTimeout)
	defer s.out.End()
	s.follow(state, moved, timing)
	return nil
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

// A session is the stream of one client.
type session struct {
	c     echo.Context
	watch *watch
	out   stream.Writer
	has   string          // the tag of the rows that the client has
	sent  events.Position // the last position that the client got
	// stopped is what the client knows.
	stopped bool
	room    int // the memory that was taken
}

// takeMemory takes memory for the rows that a slow client may keep from being freed.
func (s *session) takeMemory(state State, take func(echo.Context, int) error) error {
	more := len(state.Rows) - s.room
	if more <= 0 {
		return nil
	}
	s.room = len(state.Rows)
	return take(s.c, more)
}

func (s *session) follow(state State, moved <-chan struct{}, timing Timing) {
	ctx := s.c.Request().Context()
	life := time.NewTimer(timing.Life + rand.N(timing.Life/4)) // so that clients do not all come at once
	defer life.Stop()
	heartbeat := time.NewTicker(timing.Heartbeat)
	defer heartbeat.Stop()
	if s.send([]byte("retry: 250\n\n")) != nil {
		return
	}
	failed := error(nil)
	for beat := false; failed == nil; {
		if s.takeMemory(state, web.TryReserveMemory) != nil || s.show(state, beat) != nil {
			return
		}
		select {
		case <-moved:
			beat = false
		case <-heartbeat.C:
			beat = true
		case <-life.C:
			return
		case <-web.Draining(ctx):
			return
		case <-ctx.Done():
			return
		}
		state, _, moved, failed = s.watch.now()
	}
}

func (s *session) send(pieces ...[]byte) error {
	for _, piece := range pieces {
		if _, err := s.out.Write(piece); err != nil {
			return err
		}
	}
	return s.out.Flush()
}

// show sends the rows if the client does not have them. With a heartbeat, and at the beginning, it sends at
// least the position.
func (s *session) show(state State, beat bool) error {
	switch {
	case state.Tag != s.has:
		s.has = state.Tag
		id := []byte("\nid: " + state.Tag + "\n\n")
		return s.send([]byte("event: data\ndata:"), state.Rows, id, s.control(state))
	case s.sent < 0, state.Stopped != s.stopped, beat && state.At != s.sent:
		return s.send(s.control(state))
	case beat:
		return s.send([]byte(":\n\n"))
	}
	return nil
}

// control returns the event that says how far the rows are.
func (s *session) control(state State) []byte {
	s.sent, s.stopped = state.At, state.Stopped
	text, err := json.Marshal(struct {
		Position string `json:"position"`
		Stopped  bool   `json:"stopped,omitempty"`
	}{strconv.FormatInt(int64(state.At), 10), state.Stopped})
	if err != nil { // a text and a bool can always be encoded
		panic(err)
	}
	return []byte("event: control\ndata:" + string(text) + "\nid: " + state.Tag + "\n\n")
}
