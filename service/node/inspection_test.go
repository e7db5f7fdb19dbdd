package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// ask sends a request to a node's admin listener and decodes the first line of the response.
func ask(t *testing.T, n *node.Node, path string, status int, into any) *bufio.Scanner {
	t.Helper()
	request, err := http.NewRequestWithContext(servicetest.Context(t), "GET", "http://"+n.Admin.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Body.Close() })
	lines := bufio.NewScanner(r.Body)
	if r.StatusCode != status || !lines.Scan() {
		t.Fatalf("%s: got %d %s, want %d", path, r.StatusCode, lines.Text(), status)
	}
	if into != nil {
		if err := json.Unmarshal(lines.Bytes(), into); err != nil {
			t.Fatalf("%s: got %v, want valid JSON: %s", path, err, lines.Text())
		}
	}
	return lines
}

func created(id string) events.Event {
	return events.Event{
		ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: events.Created, Version: 1,
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Document: []byte(`{"name":"N"}`),
	}
}

// two appends the event of an entity, the same event again, and a checkpoint.
func two(t *testing.T, log *eventlog.Log) (id string, checkpoint events.Position) {
	t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	if _, err := log.Append(servicetest.Context(t), created(id), created(id)); err != nil {
		t.Fatal(err)
	}
	checkpoint, err := log.AppendCheckpoint(servicetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	return id, checkpoint
}

func TestANodeIsInspected(t *testing.T) {
	b := servicetest.StartBroker(t)
	n, _ := servicetest.StartNode(t, b, "query-1")
	id, checkpoint := two(t, n.Log)

	var digests node.Digests
	ask(t, n, fmt.Sprintf("/digests?position=%d", checkpoint), 200, &digests)
	if users := digests.Collections["users"]; digests.Node != "query-1" || digests.Position != checkpoint || users.Entities != 1 || len(users.Digest) != 64 {
		t.Errorf("got %+v, want one user of query-1 at the checkpoint", digests)
	}
	for query, status := range map[string]int{
		"": 400, "?position=x": 400, "?position=0": 400, "?position=1&wait=x": 400, "?position=1&wait=2h": 400, "?position=1": 404,
		fmt.Sprintf("?position=%d&wait=1ms", checkpoint+1): 503,
	} {
		var p struct{ Detail string }
		if ask(t, n, "/digests"+query, status, &p); p.Detail == "" {
			t.Errorf("%s: got no detail, want one", query)
		}
	}

	var voids node.Voids
	ask(t, n, "/voids", 200, &voids)
	if v := voids.Voids; len(v) != 1 || v[0].Reason != "conflict" || v[0].EntityID != id || !strings.HasSuffix(v[0].At, "Z") || voids.Counts["conflict"] != 1 || voids.Node != "query-1" {
		t.Errorf("got %+v, want one conflict of the entity", voids)
	}
	for query, status := range map[string]int{"?position=x": 400, fmt.Sprintf("?position=%d&wait=1ms", checkpoint+1): 503} {
		ask(t, n, "/rows"+query, status, nil)
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?limit=10001"} {
		ask(t, n, "/voids"+query, 400, nil)
	}

	var line node.VerifyLine
	ask(t, n, "/verify", 200, &line)
	if a := line.Audit; a == nil || a.Position != checkpoint || a.Collections["users"].Differs || a.Collections["users"].Found != digests.Collections["users"] {
		t.Errorf("got %+v, want an audit at the checkpoint without a difference", line)
	}

	var first node.RowLine
	lines := ask(t, n, "/rows", 200, &first)
	if first.Position == nil || *first.Position != checkpoint {
		t.Errorf("got %+v, want the position of the checkpoint", first)
	}
	var rest []node.RowLine
	for lines.Scan() {
		var line node.RowLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		rest = append(rest, line)
	}
	if len(rest) != 3 || rest[0].Collection != "users" || rest[1].ID != id || rest[1].Version != 1 || len(rest[1].Digest) != 64 || !rest[2].End {
		t.Errorf("got %+v, want the collection, the entity and the end", rest)
	}
}

// A stopping node does not wait for clients of its admin listener.
func TestPendingRequestsDoNotDelayAStop(t *testing.T) {
	b := servicetest.StartBroker(t)
	n, stop := servicetest.StartNode(t, b, "query-1")
	waiting := make(chan error, 1)
	asked, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(asked, "GET", "http://"+n.Admin.String()+"/digests?position=99&wait=1m", nil)
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{})
	request.Close = true
	request = request.WithContext(httptrace.WithClientTrace(asked, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(arrived) },
	}))
	go func() {
		r, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = r.Body.Close()
		}
		waiting <- err
	}()
	<-arrived
	if err := stop(); err != nil {
		t.Errorf("got %v, want a clean stop", err)
	}
	<-waiting
}
