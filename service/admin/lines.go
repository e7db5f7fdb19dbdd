package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/service/problem"
)

// linesTimeout is how long an asker may take for what was sent. It may have work of its
// own to do first.
const linesTimeout = 2 * time.Minute

// piece is how much is gathered before it is sent.
const piece = 64 << 10

// Lines are an answer of many JSON values, one a line (NDJSON). Use it from one
// goroutine.
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
	_ = l.Flush() // at once, so that the asker sees that there will be an answer; the next line tells if it is gone
	return l
}

// Write adds a line. It is sent with others, or by Flush.
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
	// A connection that can't have a deadline, as in tests, has none.
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

// Fail ends the answer with a line that says what went wrong: its member problem is a
// problem, as an answer would have it.
func (l *Lines) Fail(p *problem.Problem) {
	_ = l.Write(map[string]*problem.Problem{"problem": p}) // it can be marshalled
	l.End()
}

// End sends the rest. The connection may serve more requests, and they have no deadline.
func (l *Lines) End() {
	_ = l.Flush() // the asker may be gone
	_ = l.control.SetWriteDeadline(time.Time{})
}
