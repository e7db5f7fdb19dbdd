package readmodel_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/readmodel"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestSnapshots(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	store := filepath.Join(t.TempDir(), "store")
	running, stops := clitest.StartNodes(t, b, 0, "query-1")
	n, dir := running[0], running[0].DataDir
	var created readmodel.Stored
	for range 3 {
		p, err := log.Barrier(servicetest.Context(t))
		if err == nil {
			err = n.Model.WaitFor(servicetest.Context(t), p)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := clitest.Tool(t, b, &created, "snapshot", "create", store); err != nil {
			t.Fatal(err)
		}
		if created.Position < 1 || created.Manifest.Node != "query-1" {
			t.Errorf("got %+v, want a snapshot of query-1", created)
		}
	}
	var found readmodel.Listed
	if err := clitest.ToolAlone(t, &found, "snapshot", "list", store); err != nil || len(found.Snapshots) != 3 || found.Snapshots[0].Name != created.Name {
		t.Fatalf("got %+v, %v, want three snapshots, the new one first", found, err)
	}

	// A new node starts from the snapshot. The folder of a running node is locked.
	fresh, _ := servicetest.RunNode(t, b, "query-2", func(c *node.Config) { c.Bootstrap = []string{store} })
	if n := <-fresh; n.Model.Position() != created.Position {
		t.Errorf("got position %d, want %d", n.Model.Position(), created.Position)
	}
	var r readmodel.Restored
	if err := clitest.ToolAlone(t, &r, "snapshot", "restore", store, "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "in use by node query-1") {
		t.Errorf("got %v, want an error that names the running node", err)
	}
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	// The newest snapshot is broken, so the restore uses the next older one.
	whole, err := os.ReadFile(filepath.Join(store, created.Name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(store, created.Name), created.Bytes-1); err != nil {
		t.Fatal(err)
	}
	if err := clitest.ToolAlone(t, &r, "snapshot", "restore", store, "--data-dir="+dir); err != nil || r.Name != found.Snapshots[1].Name {
		t.Fatalf("got %+v, %v, want %s", r, err, found.Snapshots[1].Name)
	}
	built, err := offline.Inspect(t.Context(), filepath.Join(dir, datafolder.FileName))
	if err != nil || built.Position != found.Snapshots[1].Position {
		t.Errorf("got %+v, %v, want position %d", built, err, found.Snapshots[1].Position)
	}
	if err := clitest.ToolAlone(t, &r, "snapshot", "restore", store, "--data-dir="+dir, "--name="+created.Name); err == nil {
		t.Error("got a restored broken snapshot, want an error")
	}
	if err := clitest.ToolAlone(t, &r, "snapshot", "restore", store, "--data-dir="+dir, "--topic-id=00"); err == nil || !strings.Contains(err.Error(), snapshots.ErrNone.Error()) {
		t.Errorf("got %v, want %v", err, snapshots.ErrNone)
	}
	if err := os.WriteFile(filepath.Join(store, created.Name), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	var gone readmodel.Pruned
	if err := clitest.ToolAlone(t, &gone, "snapshot", "prune", store, "--keep=1"); err != nil || len(gone.Removed) != 2 {
		t.Errorf("got %+v, %v, want two removed snapshots", gone, err)
	}
	if err := clitest.ToolAlone(t, &gone, "snapshot", "prune", store, "--keep=0"); err == nil {
		t.Error("got success for --keep=0, want an error")
	}
}

// A rebuild may start from a snapshot, for a running node and for a folder.
func TestRebuildFromASnapshot(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := clitest.StartNodes(t, b, 1500, "query-1")
	n, store := running[0], filepath.Join(t.TempDir(), "store")
	var created readmodel.Stored
	if err := clitest.Tool(t, b, &created, "snapshot", "create", store); err != nil {
		t.Fatal(err)
	}
	end := clitest.AppendUsers(t, n.Log, 10)
	if err := n.Model.WaitFor(servicetest.Context(t), end); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{store, "http://" + n.Admin.String()} { // a node can even start from its own snapshot
		var result readmodel.Rebuilds
		if err := clitest.Tool(t, b, &result, "rebuild", "--node=query-1", "--from="+from); err != nil || result.Nodes[0].Rebuild.State != projections.RebuildDone {
			t.Errorf("from %s: got %+v, %v, want a rebuild that is done", from, result, err)
		}
	}
	var result readmodel.Rebuilds
	empty := filepath.Join(t.TempDir(), "empty")
	if err := clitest.Tool(t, b, &result, "rebuild", "--node=query-1", "--from="+empty); err == nil || !strings.Contains(result.Nodes[0].Rebuild.Error, snapshots.ErrNone.Error()) {
		t.Errorf("from an empty store: got %+v, %v, want %v", result, err, snapshots.ErrNone)
	}
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	var folder readmodel.RebuiltFolder
	if err := clitest.Tool(t, b, &folder, "rebuild", "--data-dir="+n.DataDir, "--from="+store); err != nil || folder.Position < end || len(folder.Differs) > 0 {
		t.Errorf("a folder: got %+v, %v, want the state at the end without differences", folder, err)
	}
	if err := clitest.Tool(t, b, &folder, "rebuild", "--data-dir="+n.DataDir, "--from="+empty); err == nil || !strings.Contains(err.Error(), snapshots.ErrNone.Error()) {
		t.Errorf("a folder from an empty store: got %v, want %v", err, snapshots.ErrNone)
	}
}

// A lost topic is recreated from a snapshot, with the same rows.
func TestSnapshotAppend(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	running, _ := clitest.StartNodes(t, b, 0, "query-1")
	n := running[0]
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	event := func(id string, kind events.Kind, version int64, document string, claims ...string) events.Event {
		at = at.Add(time.Second)
		e := events.Event{ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: version, Time: at, Claims: claims}
		if kind != events.Deleted {
			e.Document = []byte(document)
		}
		return e
	}
	one, two, three := uuid.NewString(), uuid.NewString(), uuid.NewString()
	claim := "email:0123456789012345678901"
	p, err := log.Append(servicetest.Context(t),
		event(one, events.Created, 1, `{"z":1.50,"name":"Ada"}`, claim),
		event(two, events.Created, 1, `{"name":"Bob"}`),
		event(one, events.Updated, 2, `{"name":"Ada","z":1e3}`),
		event(two, events.Updated, 2, `{"name":"Bob"}`, claim),
		event(one, events.Updated, 3, `{"name":"Ada L."}`),
		event(three, events.Created, 1, `{"name":"Eve"}`),
		event(three, events.Deleted, 2, ""),
	)
	if err == nil {
		err = n.Model.WaitFor(servicetest.Context(t), p)
	}
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(t.TempDir(), "store")
	var created readmodel.Stored
	if err := clitest.Tool(t, b, &created, "snapshot", "create", store); err != nil {
		t.Fatal(err)
	}
	var made readmodel.Appended
	if err := clitest.Tool(t, b, &made, "snapshot", "append", store); err == nil || !strings.Contains(err.Error(), "must be empty") {
		t.Errorf("a topic with events: got %v, want an error that says that it must be empty", err)
	}
	other := servicetest.StartBroker(t)
	if err := clitest.Tool(t, other, &made, "snapshot", "append", store); err != nil || made.Events != 7 || made.Position != 7 || len(made.Differs) > 0 {
		t.Fatalf("got %+v, %v, want 7 events without differences", made, err)
	}
	replayed, _ := servicetest.StartNode(t, other, "query-2")
	was, err := n.Model.Status(servicetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	is, err := replayed.Model.Status(servicetest.Context(t))
	if err != nil || is.Digests["users"] != was.Digests["users"] || is.Voids != 0 {
		t.Errorf("got %+[2]v, %[3]v, want the digest of %+[1]v and no voids", was, is, err)
	}
}
