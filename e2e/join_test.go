package e2e_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// TestJoin measures how long a query node takes to become ready from the log, from a snapshot
// in a folder, and from another node. The store has CLUSTERLITE_E2E_JOIN_EVENTS entities
// (default one million).
func TestJoin(t *testing.T) {
	wanted(t, "join")
	n := 1_000_000
	if text := os.Getenv("CLUSTERLITE_E2E_JOIN_EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	c := cluster.Serve(t)
	importUsers(t, c.URL, n)
	join := func(from string, place string) {
		p := c.AddQuery()
		p.Set("CLUSTERLITE_BOOTSTRAP", place)
		began := time.Now()
		p.Start()
		p.AwaitReady()
		took := time.Since(began)
		t.Logf("%s: %d entities in %v", from, p.Status().Entities["users"], took.Round(10*time.Millisecond))
		p.Stop()
	}
	join("from the log", "")
	store := filepath.Join(t.TempDir(), "store")
	if _, errs, status := tool(t, c, "snapshot", "create", store); status != 0 {
		t.Fatal(errs)
	}
	join("from a snapshot in a folder", store)
	join("from another node", c.Server.Admin)
}
