package commands_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// awaitEnd waits until the log ends at a position or after it.
func awaitEnd(t *testing.T, s service, want events.Position) {
	t.Helper()
	for ctx := servicetest.Context(t); ; {
		end, err := s.Log.End(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if end >= want {
			return
		}
	}
}

// unjudged returns a service whose model gives no verdict before Follow.
func unjudged(t *testing.T) service {
	t.Helper()
	log := servicetest.StartBroker(t).OpenLog()
	model := servicetest.OpenModel(t, log, servicetest.Collections(t))
	return service{&commands.Executor{Log: log, Model: model.Projection, Source: "/test", Wait: time.Minute}, model}
}

// Full batches are appended while earlier batches wait for their verdicts. The results still
// come in the order of the lines. Of two lines with the same unique value, the first wins, even
// though the second was decided before the verdict on the first was known.
func TestImportAppendsWhileVerdictsAreAwaited(t *testing.T) {
	s := serve(t, unjudged(t))
	x := s.begin(t)
	x.send(t, user(0))
	awaitEnd(t, s.service, 1) // a separate batch, since no other was in progress
	x.send(t, userLines(1, 1000)+user(0))
	awaitEnd(t, s.service, 1001)
	s.model.Follow()
	if _, err := io.WriteString(x, "0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for line := range int64(1000) {
		x.want(t, line+1, 201)
	}
	x.want(t, 1001, 409)
	x.wantEnd(t)
	if n := s.count(t); n != 1000 {
		t.Errorf("got %d users, want 1000", n)
	}
}

// userLines returns lines with the users from one number to another.
func userLines(from, to int) string {
	var lines strings.Builder
	for i := from; i < to; i++ {
		lines.WriteString(user(i))
	}
	return lines.String()
}

// A server that stops while several batches are in progress gives the result of each of their
// lines, begins no other line, and completes the response.
func TestImportSettlesWhatWasBegunBeforeAStop(t *testing.T) {
	s := serve(t, unjudged(t))
	x := s.begin(t)
	for _, sent := range [][2]int{{0, 1}, {1, 1001}, {1001, 2001}} {
		x.send(t, userLines(sent[0], sent[1]))
		awaitEnd(t, s.service, events.Position(sent[1]))
	}
	s.stop()
	for { // the server is stopping once it accepts no more requests
		r, err := http.Get(s.url)
		if err != nil {
			break
		}
		_ = r.Body.Close()
	}
	s.model.Follow()
	for line := range int64(2001) {
		x.want(t, line+1, 201)
	}
	x.wantEnd(t)
	s.awaitStop(t)
	if n := s.count(t); n != 2001 {
		t.Errorf("got %d users, want 2001", n)
	}
}
