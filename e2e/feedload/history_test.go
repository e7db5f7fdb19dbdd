//go:build linux

package feedload

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// The history of entities in a log of a million events, with the times of reads.
func TestHistoryLoadFull(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "feedload") {
		t.Skip("CLUSTERLITE_E2E does not name feedload")
	}
	const imports, chunk, patches, patched, reads = 19, 50_000, 50_000, 5000, 2000
	c := cluster.Serve(t)
	var ids []string
	for n := range imports {
		ids = append(ids, importUsers(t, c.URL, n*chunk, chunk)...)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	var next atomic.Int64
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			for n := next.Add(1); n <= patches && !t.Failed(); n = next.Add(1) {
				r, err := suite.Send("PATCH", c.URL+"/users/"+ids[n%patched], fmt.Sprintf(`{"name":"patch %d"}`, n))
				if err != nil || r.Status != 200 {
					t.Errorf("patch: got %d, %v, want 200", r.Status, err)
				}
			}
		})
	}
	writers.Wait()
	end := suite.Target{URL: c.URL}.Do(t, "GET", "/users?limit=1", "").Want(t, 200).Position(t)
	if end < 1_000_000 {
		t.Fatalf("got position %d, want a million events", end)
	}
	for name, path := range map[string]func(id string) string{
		"the versions of an entity": func(id string) string { return "/users/" + id + "/versions" },
		"one version of an entity":  func(id string) string { return fmt.Sprintf("/users/%s/versions/%d", id, 1+rng.IntN(5)) },
		"an entity at a position":   func(id string) string { return fmt.Sprintf("/users/%s?at=%d", id, end-int64(rng.IntN(patches))) },
	} {
		var took []time.Duration
		for range reads {
			url := c.URL + path(ids[rng.IntN(patched)])
			began := time.Now()
			r, err := suite.Send("GET", url, "")
			if took = append(took, time.Since(began)); err != nil || r.Status != 200 {
				t.Fatalf("%s: got %d, %v, want 200", url, r.Status, err)
			}
		}
		slices.Sort(took)
		t.Logf("%s, %d events in the log: p50 %s, p99 %s, longest %s", name, end, took[reads/2], took[reads*99/100], took[reads-1])
	}
}

// importUsers imports users, and returns their ids.
func importUsers(t *testing.T, url string, from, n int) (ids []string) {
	t.Helper()
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"name":"User %d","email":"user.%d@example.com"}`+"\n", from+i, from+i)
	}
	response, err := (&http.Client{Timeout: 5 * time.Minute}).Post(url+"/users", "application/x-ndjson", strings.NewReader(body.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		var l suite.LineResult
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Status != 201 {
			t.Fatalf("import: got %s, %v, want a new entity", lines.Bytes(), err)
		}
		ids = append(ids, l.ID)
	}
	return ids
}
