package queryapi_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A position that the log has not reached comes from another store, or from a topic that was replaced. The
// client learns that it need not retry.
func TestPositionsBeyondTheLog(t *testing.T) {
	n := newFeed(t, changes.Timing{})
	at := n.write(adaID, events.Created, 1, "Ada")
	var asking sync.WaitGroup
	for _, c := range []struct{ path, header string }{
		{"/users/changes?offset=1000", strong},
		{"/changes?offset=0000000000001000", strong},
		{"/users/changes?offset=1000&live=sse", strong},
		{"/users/changes?offset=1000&live=long-poll", strong},
		{"/users/changes?offset=-1&live=sse", "Last-Event-ID: 0000000000001000"},
		{"/users/changes?offset=1000", eventual},
		{"/users", "Clusterlite-Min-Position: 1000"},
		{"/users/" + adaID + "?at=1000", strong},
	} {
		asking.Go(func() { // each of them waits for the position first
			r := servicetest.Do(n, http.MethodGet, c.path, "", c.header)
			if body := servicetest.Body(t, r); r.StatusCode != http.StatusBadRequest || !strings.Contains(body, "/malformed-request") || !strings.Contains(body, "position 1000") || !strings.Contains(body, "another store") {
				t.Errorf("GET %s %s: got %d %s, want that the log does not reach position 1000", c.path, c.header, r.StatusCode, body)
			}
		})
	}
	asking.Wait()
	if all, _ := n.changes("/users/changes?offset=" + changes.FormatOffset(at-1)); len(all) != 1 {
		t.Errorf("got %v from a good offset, want one change", positions(all))
	}
}

// Only proof that the log ends before a position makes it a mistake of the client.
func TestPositionsThatMayExist(t *testing.T) {
	for name, f := range map[string]*fake{
		"the log has it":                         {end: 9, position: 7},
		"the end is unknown":                     {endErr: eventlog.ErrUnreachable, end: 7, position: 7},
		"the end that a broker says is no proof": {end: 7, barrierErr: eventlog.ErrUnreachable, position: 7},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, f.get(t, "/users/"+adaID, eventual, "Clusterlite-Min-Position: 9"), "read-model-behind", "the read requires position 9.")
		})
	}
}
