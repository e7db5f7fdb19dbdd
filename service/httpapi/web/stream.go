package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/coding"
)

// A Stream is a response that is sent in pieces, compressed if the client accepts that. Use it
// from one goroutine at a time.
type Stream struct {
	response *echo.Response
	control  *http.ResponseController
	encoder  coding.Encoder // nil if the response is not compressed
	release  func()
}

// BeginStream sends the header of a response with status 200. In response to HEAD, call End
// without a Write.
func BeginStream(c echo.Context, contentType string) *Stream {
	w := c.Response()
	s := &Stream{response: w, control: http.NewResponseController(w), release: func() {}}
	w.Header().Set("Content-Type", contentType)
	// The size is unknown; a stream is expected to be large.
	name := chooseCoding(c, minCompressed)
	if name != coding.Identity && c.Request().Method != http.MethodHead {
		s.encoder, s.release = coding.NewEncoder(name, w)
	}
	w.WriteHeader(http.StatusOK)
	return s
}

// Write sends a piece at once.
func (s *Stream) Write(p []byte) (int, error) {
	s.extend()
	if err := s.send(p); err != nil {
		return 0, fmt.Errorf("send part of a stream: %w", err)
	}
	s.response.Flush()
	return len(p), nil
}

func (s *Stream) send(p []byte) error {
	if s.encoder == nil {
		_, err := s.response.Write(p)
		return err
	}
	_, err := s.encoder.Write(p)
	if err != nil {
		return err
	}
	return s.encoder.Flush() // otherwise the piece would wait for the next one
}

// extend sets the deadline for the next piece.
func (s *Stream) extend() {
	// The error says that the connection supports no deadlines, as in tests.
	_ = s.control.SetWriteDeadline(time.Now().Add(pieceTimeout))
}

// End ends the response and removes the deadline, so that the connection can serve more
// requests. If err is not nil, End breaks the connection off instead: the status was sent long
// ago, and this is the only way to show the client that the response is incomplete. For this
// it panics with [http.ErrAbortHandler].
func (s *Stream) End(err error) {
	defer s.release()
	if s.encoder != nil && err == nil {
		s.extend()
		err = s.encoder.Close()
	}
	_ = s.control.SetWriteDeadline(time.Time{})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}
