package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// A Stream is an answer that is sent piece by piece. Use it from one goroutine.
type Stream struct {
	response *echo.Response
	control  *http.ResponseController
}

// BeginStream sends the header of an answer with status 200.
func BeginStream(c echo.Context, contentType string) *Stream {
	w := c.Response()
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	return &Stream{w, http.NewResponseController(w)}
}

// Write sends a piece at once.
func (s *Stream) Write(p []byte) (int, error) {
	// A connection that can't have a deadline, as in tests, has none.
	_ = s.control.SetWriteDeadline(time.Now().Add(pieceTimeout))
	n, err := s.response.Write(p)
	if err != nil {
		return n, fmt.Errorf("send a piece of a stream: %w", err)
	}
	s.response.Flush()
	return n, nil
}

// End ends the answer. The connection may serve more requests, and they have no
// deadline. If err is not nil the answer is cut off, not ended: its status is long sent,
// and only so does the client learn that it is not whole. It panics then, as net/http
// wants it.
func (s *Stream) End(err error) {
	_ = s.control.SetWriteDeadline(time.Time{})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}
