package web

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/coding"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
)

// A Stream is a response that is sent in pieces, compressed if the client accepts that. Use it
// from one goroutine at a time.
type Stream struct {
	out     stream.Writer
	encoder coding.Encoder // nil if the response is not compressed
	release func()
}

// BeginStream sends the header of a response with status 200. In response to HEAD, call End
// without a Write.
func BeginStream(c echo.Context, contentType string) *Stream {
	w := c.Response()
	s := &Stream{out: stream.NewWriter(w, pieceTimeout), release: func() {}}
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
	if err := s.Send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Send sends a piece at once.
func (s *Stream) Send(piece []byte) error {
	if s.encoder == nil {
		return s.out.Send(piece)
	}
	s.out.Extend()
	_, err := s.encoder.Write(piece)
	if err == nil {
		err = s.encoder.Flush() // otherwise the piece would wait for the next one
	}
	if err != nil {
		return fmt.Errorf("send part of a compressed response: %w", err)
	}
	return s.out.Flush()
}

// End ends the response and removes the deadline, so that the connection can serve more
// requests. If err is not nil, End breaks the connection off instead: the status was sent long
// ago, and this is the only way to show the client that the response is incomplete. For this
// it panics with [http.ErrAbortHandler].
func (s *Stream) End(err error) {
	defer s.release()
	if s.encoder != nil && err == nil {
		s.out.Extend()
		err = s.encoder.Close()
	}
	s.out.End()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}
