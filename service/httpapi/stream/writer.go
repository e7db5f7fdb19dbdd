// Package stream sends responses in pieces, and gives the client a time limit for each piece. A
// client that stops reading would otherwise occupy its connection, and what the response holds,
// forever.
package stream

import (
	"fmt"
	"net/http"
	"time"
)

// A Writer sends the body of a response. Use it from one goroutine at a time.
type Writer struct {
	control http.ResponseController
	w       http.ResponseWriter
	timeout time.Duration
}

// NewWriter returns a writer that gives the client the same time for each piece.
func NewWriter(w http.ResponseWriter, timeout time.Duration) Writer {
	return Writer{control: *http.NewResponseController(w), w: w, timeout: timeout}
}

// Write sends a piece. It may stay in a buffer until Flush is called.
func (s *Writer) Write(p []byte) (int, error) {
	s.Extend()
	n, err := s.w.Write(p)
	if err != nil {
		return n, fmt.Errorf("send part of a response: %w", err)
	}
	return n, nil
}

// Flush sends what is in the buffer. An error means that the client has disconnected, or has
// not read in time.
func (s *Writer) Flush() error {
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("send part of a response: %w", err)
	}
	return nil
}

// Send sends a piece at once.
func (s *Writer) Send(piece []byte) error {
	if _, err := s.Write(piece); err != nil {
		return err
	}
	return s.Flush()
}

// Extend gives the client the full time again. Write does so too.
func (s *Writer) Extend() {
	// The error says that the connection supports no deadlines, as in tests.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout))
}

// End removes the time limit, because the connection may serve more requests.
func (s *Writer) End() { _ = s.control.SetWriteDeadline(time.Time{}) }
