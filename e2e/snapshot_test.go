package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// snapshotsUnderLoad takes snapshots while clients write, and starts nodes from them and from
// another node.
func snapshotsUnderLoad(t *testing.T, c *cluster.Cluster) {
	l := startLoad(t, c.URL)
	store := filepath.Join(t.TempDir(), "store")
	var names []string
	for range 2 {
		l.progress(20)
		names = append(names, createSnapshot(t, c, store))
	}
	if err := os.Truncate(filepath.Join(store, names[1]), 1000); err != nil {
		t.Fatal(err)
	}
	before := len(c.Queries)
	// The newest snapshot is truncated, so the node uses the one before it.
	startFrom(t, c, store, "skipped a snapshot", names[1], "restored a snapshot", names[0])
	startFrom(t, c, c.Queries[0].Admin, "restored a snapshot", c.Queries[0].Admin)
	l.progress(20)
	l.end(c) // compares the new nodes too
	sameAsReplayed(t, c)
	for _, p := range c.Queries[before:] {
		p.Stop()
		if _, errs, status := tool(t, c, "nodes", "forget", p.Name); status != 0 {
			t.Errorf("forget %s: got a failure, want success: %s", p.Name, errs)
		}
	}
	c.Queries = c.Queries[:before]
}

func createSnapshot(t *testing.T, c *cluster.Cluster, store string) (name string) {
	t.Helper()
	out, errs, status := tool(t, c, "snapshot", "create", store, "--node", c.Queries[0].Name, "--output", "json")
	var created struct{ Name string }
	if err := json.Unmarshal([]byte(out), &created); status != 0 || err != nil {
		t.Fatalf("got exit status %d, %v, want 0: %s%s", status, err, out, errs)
	}
	return created.Name
}

// startFrom starts a query service without data, and checks its output.
func startFrom(t *testing.T, c *cluster.Cluster, place string, words ...string) {
	t.Helper()
	p := c.AddQuery()
	p.Set("CLUSTERLITE_BOOTSTRAP", place)
	p.Start()
	p.AwaitReady()
	for _, w := range words {
		if !strings.Contains(p.Output(), w) {
			t.Errorf("%s: got no %q in its output", p.Name, w)
		}
	}
}

// sameAsReplayed builds the state from the topic alone, and compares it with the state of a
// node.
func sameAsReplayed(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	out, errs, status := tool(t, c, "replay", "--out", filepath.Join(t.TempDir(), "replayed.db"), "--output", "json")
	var replayed struct {
		Position int64
		Digests  map[string]string
	}
	if err := json.Unmarshal([]byte(out), &replayed); status != 0 || err != nil {
		t.Fatalf("got exit status %d, %v, want 0: %s%s", status, err, out, errs)
	}
	is := c.Queries[0].Status()
	for name, digest := range is.Digests {
		if replayed.Digests[name] != digest {
			t.Errorf("replayed to %d: got the digest of %s %s, want that of the node at %d, %s", replayed.Position, name, replayed.Digests[name], is.Position, digest)
		}
	}
}
