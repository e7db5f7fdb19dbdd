package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/stream"
)

// linesTimeout is how long a client may take to read what was sent. The client may have other
// work to do first.
const linesTimeout = 2 * time.Minute

// Lines is a response of many JSON values, one per line (NDJSON). Use it from one goroutine.
type Lines struct {
	out   stream.Writer
	lines *stream.Lines
}

// BeginLines sends the header of a response with status 200.
func BeginLines(w http.ResponseWriter) *Lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	l := &Lines{out: stream.NewWriter(w, linesTimeout)}
	l.lines = stream.NewLines(l.out.Send)
	l.out.Extend()
	_ = l.out.Flush() // at once, so that the client sees the start of the response; the next write fails if it has disconnected
	return l
}

// Write adds a line. It is buffered until enough lines have accumulated or Flush is called.
func (l *Lines) Write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a line: %w", err)
	}
	return l.lines.Add(append(l.lines.Buffer(), b...))
}

// Flush sends the buffered lines. An error means that the client has disconnected.
func (l *Lines) Flush() error { return l.lines.Flush() }

// Fail ends the response with a line that has an error: its member problem is a problem
// document.
func (l *Lines) Fail(p *problem.Problem) {
	_ = l.Write(map[string]*problem.Problem{"problem": p}) // it can be marshalled
	l.End()
}

// End sends the rest and removes the deadline, because the connection may serve more requests.
func (l *Lines) End() {
	_ = l.Flush() // the client may have disconnected
	l.out.End()
}
