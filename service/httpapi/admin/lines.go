package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// linesTimeout is how long a client may take to read what was sent. The client may have
// work of its own to do first.
const linesTimeout = 2 * time.Minute

// piece is how much is gathered before it is sent.
const piece = 64 << 10

// Lines is an answer of many JSON values, one per line (NDJSON). Use it from one goroutine.
type Lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  []byte
}

// BeginLines sends the header of an answer with status 200.
func BeginLines(w http.ResponseWriter) *Lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	l := &Lines{w: w, control: http.NewResponseController(w)}
	_ = l.Flush() // at once, so that the client sees that an answer has begun; the next write fails if it has disconnected
	return l
}

// Write adds a line. It is buffered until enough lines have accumulated or Flush is called.
func (l *Lines) Write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a line: %w", err)
	}
	if l.buffer = append(append(l.buffer, b...), '\n'); len(l.buffer) < piece {
		return nil
	}
	return l.Flush()
}

// Flush sends the buffered lines. An error means that the client has disconnected.
func (l *Lines) Flush() error {
	// Connections in tests may not support deadlines.
	_ = l.control.SetWriteDeadline(time.Now().Add(linesTimeout))
	_, err := l.w.Write(l.buffer)
	l.buffer = l.buffer[:0]
	if err == nil {
		err = l.control.Flush()
	}
	if err != nil {
		return fmt.Errorf("send lines: %w", err)
	}
	return nil
}

// Fail ends the answer with a line that has an error: its member problem is a problem
// document.
func (l *Lines) Fail(p *problem.Problem) {
	_ = l.Write(map[string]*problem.Problem{"problem": p}) // it can be marshalled
	l.End()
}

// End sends the rest and removes the deadline, because the connection may serve more
// requests.
func (l *Lines) End() {
	_ = l.Flush() // the client may have disconnected
	_ = l.control.SetWriteDeadline(time.Time{})
}
