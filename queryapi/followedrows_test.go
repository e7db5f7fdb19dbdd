package queryapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

const liveAccept = "Accept: text/event-stream"

// data returns the next rows and their id.
func (l *listener) data() (rows, id string) {
	l.t.Helper()
	for {
		event, id, data, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended: %v, want rows", l.lines.Err())
		}
		if event == "data" {
			return data, id
		}
	}
}

// control returns the next control event that contains a text, and fails if rows come before it.
func (l *listener) control(containing string) {
	l.t.Helper()
	for {
		event, _, data, ok := l.next()
		if !ok || event == "data" {
			l.t.Fatalf("got %s %s, %v, want a control event with %s", event, data, l.lines.Err(), containing)
		}
		if event == "control" && strings.Contains(data, containing) {
			return
		}
	}
}

func position(at events.Position) string { return fmt.Sprintf(`"position":"%d"`, at) }

func TestRowsAreFollowed(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people})
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	n.created(1)
	n.created(2)
	table := listen(t, server.URL+"/models/m/people?n[gte]=2&fields=n&sort=-n", liveAccept)
	query := listen(t, server.URL+"/models/m/named?prefix=N&fields=number&limit=1", liveAccept)
	if rows, _ := table.data(); rows != `[{"n":2}]` {
		t.Errorf("got %s, want the rows that match", rows)
	}
	if rows, _ := query.data(); rows != `[{"number":2}]` {
		t.Errorf("got %s, want the row of the query", rows)
	}
	id, at := n.created(3)
	rows, tag := table.data()
	if rows != `[{"n":3},{"n":2}]` {
		t.Errorf("got %s, want the new row too", rows)
	}
	table.control(position(at))
	if rows, _ := query.data(); rows != `[{"number":3}]` {
		t.Errorf("got %s, want the new row of the query", rows)
	}
	// An event that changes the model, but not what the query shows, only moves the position.
	_, at = n.created(0)
	table.control(position(at))
	// A client that has the rows does not get them again, from any node.
	again := listen(t, server.URL+"/models/m/people?n[gte]=2&fields=n&sort=-n", liveAccept, "Last-Event-ID: "+tag)
	again.control(position(at))
	n.change(n.log, events.Deleted, id, 2, "")
	for _, l := range []*listener{table, again} {
		if rows, _ := l.data(); rows != `[{"n":2}]` {
			t.Errorf("got %s after the deletion, want one row", rows)
		}
	}
	// A stream begins with all that was written before.
	_, at = n.created(4)
	late := listen(t, server.URL+"/models/m/people?fields=n&sort=-n&limit=1", liveAccept, "Clusterlite-Min-Position: "+strconv.Itoa(int(at)))
	if rows, _ := late.data(); rows != `[{"n":4}]` {
		t.Errorf("got %s, want the newest row", rows)
	}
}

func TestFollowingNeedsAGoodRequest(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": people})
	n.created(1)
	for path, want := range map[string]string{
		"m/people?count=true": "count is not available",
		"m/people?x=1":        "Unknown query parameter",
		"m/bad?pattern=x":     "can't be run with these parameters",
	} {
		if body := servicetest.Body(t, n.get("/models/"+path, 400, liveAccept)); !strings.Contains(body, want) {
			t.Errorf("GET %s: got %s, want %q", path, body, want)
		}
	}
	if r := servicetest.Do(n, http.MethodHead, "/models/m/people", "", liveAccept); r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: got %d %s, want 200 and the media type", r.StatusCode, r.Header.Get("Content-Type"))
	}
	for _, accept := range []string{"*/*", "text/*;q=0.1, application/json"} {
		if r := n.get("/models/m/people", 200, "Accept: "+accept); r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("Accept: %s: got %s, want JSON", accept, r.Header.Get("Content-Type"))
		}
	}
}

func TestRowsThatAreTooLargeAreNotFollowed(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": "CREATE TABLE t (x);\nINSERT INTO t VALUES (printf('%.*c', 300000, 'x'));"})
	if body := servicetest.Body(t, n.get("/models/m/t", 400, liveAccept)); !strings.Contains(body, "more than 256 KiB") {
		t.Errorf("got %s, want that the rows are too large", body)
	}
}

// TestWhoMayFollowAModel checks that the rule of a model holds for its streams too.
func TestWhoMayFollowAModel(t *testing.T) {
	files := map[string]string{"closed": "CREATE TABLE t (x);", "open": "-- access: 'clerk' in auth.roles\nCREATE TABLE t (x);"}
	n := newModelNode(t, "clerk", files)
	if got := servicetest.Do(n, "GET", "/models/closed/t", "", liveAccept); got.StatusCode != http.StatusForbidden {
		t.Errorf("closed: got %d, want 403", got.StatusCode)
	}
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	if rows, _ := listen(t, server.URL+"/models/open/t", liveAccept).data(); rows != "[]" {
		t.Errorf("open: got %s, want no rows", rows)
	}
}

// TestAStoppedModelIsFollowed checks that a stream shows the last good state, and that the model has
// stopped.
func TestAStoppedModelIsFollowed(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": "CREATE TABLE t (n INTEGER CHECK (n <> 1));\n-- on: users.created\nINSERT INTO t VALUES (substr(:document ->> 'name', 2));"})
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	n.created(0)
	l := listen(t, server.URL+"/models/m/t", liveAccept)
	if rows, _ := l.data(); rows != `[{"n":0}]` {
		t.Errorf("got %s, want the first row", rows)
	}
	_, bad := n.created(1)
	l.control(`"stopped":true`)
	m, _ := n.models.Get("m")
	if _, err := m.Skip(bad); err != nil {
		t.Fatal(err)
	}
	_, at := n.created(2)
	if rows, _ := l.data(); rows != `[{"n":0},{"n":2}]` {
		t.Errorf("got %s after the skip, want two rows", rows)
	}
	l.control(position(at) + "}")
}

// TestAReplacedModelEndsItsStreams checks that clients connect again, to the new definition or to none.
func TestAReplacedModelEndsItsStreams(t *testing.T) {
	n := newModelNode(t, "", map[string]string{"m": "CREATE TABLE t (x);\nINSERT INTO t VALUES (1);"})
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- n.models.Run(ctx) }()
	defer func() { stop(); <-ran }()
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	path := filepath.Join(n.folder, "m.sql")
	for _, replace := range []func() error{
		func() error {
			return os.WriteFile(path, []byte("CREATE TABLE t (x);\nINSERT INTO t VALUES (22);"), 0o600)
		},
		func() error { return os.Remove(path) },
	} {
		l := listen(t, server.URL+"/models/m/t", liveAccept)
		l.data()
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		for ok := true; ok; {
			_, _, _, ok = l.next()
		}
	}
	n.get("/models/m/t", 404, liveAccept)
}
