package stream_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/stream"
)

// A recorder records the pieces that it receives.
type recorder struct {
	pieces [][]byte
	err    error
}

func (r *recorder) send(piece []byte) error {
	r.pieces = append(r.pieces, bytes.Clone(piece))
	return r.err
}

func TestPiecesHaveWholeLines(t *testing.T) {
	var to recorder
	lines := stream.NewLines(to.send)
	line := strings.Repeat("x", 999)
	for range 200 {
		if err := lines.Add(append(lines.Buffer(), line...)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(to.pieces); n != 3 { // 66 lines each
		t.Errorf("got %d pieces before the end, want 3", n)
	}
	for range 2 { // the second time there is nothing to send
		if err := lines.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if len(to.pieces) != 4 {
		t.Errorf("got %d pieces, want 4", len(to.pieces))
	}
	for i, p := range to.pieces {
		if len(p) == 0 || len(p)%1000 != 0 || p[len(p)-1] != '\n' || len(p) > stream.PieceSize+1000 {
			t.Errorf("piece %d has %d bytes, want whole lines", i, len(p))
		}
	}
	if got := string(bytes.Join(to.pieces, nil)); got != strings.Repeat(line+"\n", 200) {
		t.Errorf("got %d bytes, want 200 lines in order", len(got))
	}
}

func TestLinesOfABrokenConnection(t *testing.T) {
	broken := errors.New("broken")
	lines := stream.NewLines((&recorder{err: broken}).send)
	if err := lines.Add(append(lines.Buffer(), "a"...)); err != nil {
		t.Errorf("got %v before anything was sent, want nil", err)
	}
	if err := lines.Flush(); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// A connection records the deadlines that are set.
type connection struct {
	httptest.ResponseRecorder
	deadlines []time.Time
}

func (c *connection) SetWriteDeadline(deadline time.Time) error {
	c.deadlines = append(c.deadlines, deadline)
	return nil
}

// Each piece has the full time limit. The limit is removed at the end of the response.
func TestEachPieceExtendsTheDeadline(t *testing.T) {
	var c connection
	out := stream.NewWriter(&c, time.Hour)
	began := time.Now()
	for range 3 {
		if err := out.Send([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	out.End()
	if len(c.deadlines) != 4 || !c.deadlines[3].IsZero() {
		t.Fatalf("got deadlines %v, want three and none at the end", c.deadlines)
	}
	for i, got := range c.deadlines[:3] {
		if got.Before(began.Add(time.Hour)) || got.After(time.Now().Add(time.Hour)) {
			t.Errorf("piece %d: got deadline %v, want an hour from then", i, got)
		}
	}
	if !c.Flushed {
		t.Error("got no flush, want one after each piece")
	}
}

// The handler of a client that stops reading gets an error.
func TestAClientThatStopsReading(t *testing.T) {
	ended := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		out := stream.NewWriter(w, 50*time.Millisecond)
		defer out.End()
		for piece := make([]byte, 1<<20); ; {
			if err := out.Send(piece); err != nil {
				ended <- err
				return
			}
		}
	}))
	defer s.Close()
	response, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("got no end of the response within 30 seconds, want an error")
	}
}
