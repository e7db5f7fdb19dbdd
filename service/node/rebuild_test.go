package node_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// send sends a request to a node's admin listener and decodes the response.
func send(t *testing.T, n *node.Node, method, path string, status int, into any) {
	t.Helper()
	r, err := http.NewRequestWithContext(servicetest.Context(t), method, "http://"+n.Admin.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != status {
		t.Fatalf("%s %s: got %s: %s, want %d", method, path, response.Status, servicetest.Body(t, response), status)
	}
	if into == nil {
		return
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func TestRebuildThroughTheAdminListener(t *testing.T) {
	b := servicetest.StartBroker(t)
	n, stop := servicetest.StartNode(t, b, "query-1")
	var batch []events.Event
	for range 1500 { // more than a batch
		batch = append(batch, events.Event{
			ID: uuid.NewString(), Source: "/test", Collection: "users", EntityID: uuid.NewString(), Kind: events.Created, Version: 1,
			Time: time.Now(), Document: []byte(`{"name":"Ada"}`),
		})
	}
	end, err := n.Log.Append(servicetest.Context(t), batch...)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Model.WaitFor(servicetest.Context(t), end); err != nil {
		t.Fatal(err)
	}

	var status struct{ Rebuild *projections.RebuildStatus }
	if send(t, n, "GET", "/status", 200, &status); status.Rebuild != nil {
		t.Errorf("got rebuild %+v, want none", status.Rebuild)
	}
	send(t, n, "GET", "/rebuild", 404, nil)
	send(t, n, "DELETE", "/rebuild", 409, nil)
	for _, bad := range []string{"?rate=-1", "?rate=fast", "?keep=perhaps", "?speed=1", "?back=true&keep=true", "?%zz"} {
		send(t, n, "POST", "/rebuild"+bad, 400, nil)
	}

	var r projections.RebuildStatus
	if send(t, n, "POST", "/rebuild?rate=1", 202, &r); r.State != projections.RebuildRunning || r.StartedAt.IsZero() {
		t.Errorf("got %+v at the start, want a running rebuild", r)
	}
	send(t, n, "POST", "/rebuild", 409, nil)
	if send(t, n, "GET", "/status", 200, &status); status.Rebuild == nil || status.Rebuild.State != projections.RebuildRunning || status.Rebuild.End != end {
		t.Errorf("got rebuild %+v, want it running to the end of the log", status.Rebuild)
	}
	if send(t, n, "DELETE", "/rebuild", 200, &r); r.State != projections.RebuildCancelled {
		t.Errorf("got %+v at the end, want it cancelled", r)
	}

	send(t, n, "POST", "/rebuild?keep=true&force=false", 202, &r)
	for r.State == projections.RebuildRunning {
		time.Sleep(time.Millisecond) // polling
		send(t, n, "GET", "/rebuild", 200, &r)
	}
	if r.State != projections.RebuildDone || r.Position != end || r.Kept == "" {
		t.Errorf("got %+v at the end, want it done with the previous file kept", r)
	}
	if _, err := os.Stat(filepath.Join(n.DataDir, datafolder.PreviousName)); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
