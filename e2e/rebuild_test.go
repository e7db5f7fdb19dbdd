package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// rebuildEvents returns how many events are in the log before nodes are rebuilt.
// CLUSTERLITE_E2E_REBUILD_EVENTS sets it, for a run that measures.
func rebuildEvents(t *testing.T) int {
	text := os.Getenv("CLUSTERLITE_E2E_REBUILD_EVENTS")
	if text == "" {
		return 5000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// importUsers imports n users. An import ends early, and says so, if nodes fall behind.
func importUsers(t *testing.T, url string, n int) {
	t.Helper()
	for idle := 0; n > 0; {
		lines := make([]string, min(n, 5000))
		for i := range lines {
			lines[i] = suite.UserBody("Ada", suite.Email())
		}
		r := suite.Target{URL: url}.Do(t, "POST", "/users", strings.Join(lines, "\n"), "Content-Type: application/x-ndjson").Want(t, 200)
		created := strings.Count(string(r.Body), `"status":201`)
		if idle++; created > 0 {
			idle = 0
		}
		if idle == 10 {
			t.Fatalf("got none of %d users created, want progress: %.300s", len(lines), r.Body)
		}
		n -= created
	}
}

// rebuilt is the tool's report about rebuilt nodes.
type rebuilt struct {
	Nodes []struct {
		Node    string `json:"node"`
		Error   string `json:"error"`
		Rebuild *struct {
			State       string  `json:"state"`
			Error       string  `json:"error"`
			Position    int64   `json:"position"`
			SwapSeconds float64 `json:"swap_seconds"`
		} `json:"rebuild"`
	} `json:"nodes"`
}

// rebuildUnderLoad rebuilds all nodes, or the one in CLUSTERLITE_E2E_REBUILD_NODE, under
// constant reads and writes. No read fails or goes back in time, and no write is lost. Then
// rebuildUnderLoad kills a node in the middle of a rebuild.
func rebuildUnderLoad(t *testing.T, c *cluster.Cluster) {
	n := rebuildEvents(t)
	importUsers(t, c.WriteURLs()[0], n)
	equalRows(t, c)
	l := startLoad(t, c.URL)
	readers := startReaders(t, c.ReadURLs(), "strong", "eventual")
	l.progress(20)
	began := time.Now()
	which := []string{"--all"}
	if node := os.Getenv("CLUSTERLITE_E2E_REBUILD_NODE"); node != "" {
		which = []string{"--node", node}
	}
	result := rebuild(t, c, n, which...)
	took := time.Since(began)
	for _, r := range result.Nodes {
		if r.Rebuild == nil || r.Rebuild.State != "done" {
			t.Errorf("%s: got %s, %+v, want a rebuild that is done", r.Node, r.Error, r.Rebuild)
			continue
		}
		t.Logf("%s: %d events, the swap took %.2f ms", r.Node, r.Rebuild.Position, r.Rebuild.SwapSeconds*1000)
	}
	l.progress(20)
	readers.end()
	t.Logf("rebuilt %d nodes of %d events, one after another, in %v; %d reads meanwhile, the longest took %v", len(result.Nodes), n, took, readers.reads, readers.longest)

	victim := c.Queries[len(c.Queries)-1]
	eventually(t, "the rebuild before has removed the file that it replaced, so another one starts", func() bool {
		r, err := suite.Send("POST", victim.Admin+"/rebuild?rate=1000", "")
		if err != nil || r.Status != 202 && r.Status != 409 {
			t.Fatalf("got %d %s, %v, want 202 or 409", r.Status, r.Body, err)
		}
		return r.Status == 202
	})
	l.progress(20)
	victim.Kill()
	victim.Start()
	victim.AwaitReady()
	l.progress(20)
	l.end(c)
	entries, err := os.ReadDir(victim.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".db") {
			files++
		}
	}
	if files != 2 { // the link and its target
		t.Errorf("after the crash: got the files %v, want the link and its target", entries)
	}
}

// rebuild rebuilds nodes that have about n events each.
func rebuild(t *testing.T, c *cluster.Cluster, n int, which ...string) (result rebuilt) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute+time.Duration(n)*3*time.Millisecond)
	defer cancel()
	tool := exec.CommandContext(ctx, cluster.Binary(t, "clusterlite"), append([]string{"rebuild", "--kafka-brokers", c.Brokers, "--output", "json"}, which...)...)
	var stderr strings.Builder
	tool.Stderr = &stderr
	out, err := tool.Output()
	if err != nil {
		t.Fatalf("rebuild: got %v, want success: %s %s", err, out, stderr.String())
	}
	if err := json.Unmarshal(out, &result); err != nil || which[0] == "--all" && len(result.Nodes) < len(c.Processes()) {
		t.Fatalf("got %v: %s, want a report about each node", err, out)
	}
	return result
}

// readers reads from each address without a pause.
type readers struct {
	t       *testing.T
	stop    chan struct{}
	clients sync.WaitGroup

	mu      sync.Mutex
	reads   int
	longest time.Duration
}

// byDefault is the consistency of reads that demand none. While no broker can be reached, any node
// answers them with what it has, so their positions may go back behind Nginx.
const byDefault = ""

func startReaders(t *testing.T, urls []string, consistencies ...string) *readers {
	r := &readers{t: t, stop: make(chan struct{})}
	for _, url := range urls {
		for _, consistency := range consistencies {
			r.clients.Go(func() { r.read(url, consistency) })
		}
	}
	t.Cleanup(func() { r.end() })
	return r
}

func (r *readers) end() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.clients.Wait()
}

func (r *readers) read(url, consistency string) {
	last := int64(0)
	for i := 0; ; i++ {
		select {
		case <-r.stop:
			return
		default:
		}
		began := time.Now()
		var header []string
		if consistency != byDefault {
			header = []string{"Clusterlite-Consistency: " + consistency}
		}
		got, err := suite.Send("GET", fmt.Sprintf("%s/users?limit=%d", url, 1+i%50), "", header...)
		took := time.Since(began)
		if err != nil || got.Status != 200 {
			r.t.Errorf("read: got %d, %v, want 200: %s", got.Status, err, got.Body)
			return
		}
		at := got.Position(r.t)
		if at < last && consistency != byDefault {
			r.t.Errorf("a read of %s: got position %d, want at least the earlier %d", url, at, last)
			return
		}
		last = at
		r.mu.Lock()
		r.reads++
		r.longest = max(r.longest, took)
		r.mu.Unlock()
	}
}
