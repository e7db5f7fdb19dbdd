package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// A Stream is an answer that is sent piece by piece, compressed if the client likes that.
// Use it from one goroutine at a time.
type Stream struct {
	response *echo.Response
	control  *http.ResponseController
	encoder  encoder // nil if the answer is not compressed
	release  func()
}

// BeginStream sends the header of an answer with status 200. The answer to HEAD ends
// without a Write.
func BeginStream(c echo.Context, contentType string) *Stream {
	w := c.Response()
	s := &Stream{response: w, control: http.NewResponseController(w), release: func() {}}
	w.Header().Set("Content-Type", contentType)
	// Its size is not known; it is for much.
	coding := chooseCoding(c, leastCompressed)
	if coding != identity && c.Request().Method != http.MethodHead {
		s.encoder, s.release = beginEncoding(coding, w)
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
	return s.encoder.Flush() // else the piece would wait for the next ones
}

// extend gives the client time for a piece.
func (s *Stream) extend() {
	// A connection that can't have a deadline, as in tests, has none.
	_ = s.control.SetWriteDeadline(time.Now().Add(pieceTimeout))
}

// End ends the answer. The connection may serve more requests, and they have no
// deadline. If err is not nil the answer is cut off, not ended: its status is long sent,
// and only so does the client learn that it is not whole. It panics then, as net/http
// wants it.
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
