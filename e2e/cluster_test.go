package e2e_test

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/feed"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func TestEmbeddedCluster(t *testing.T) {
	wanted(t, "embedded")
	services(t, cluster.Embedded(t), 500)
}

func TestKafkaCluster(t *testing.T) {
	wanted(t, "kafka")
	c := cluster.OnKafka(t)
	services(t, c, 10_000)
	t.Run("kill the leading broker under load", func(t *testing.T) { killLeader(t, c) })
	t.Run("the alert for an under-replicated topic", func(t *testing.T) { underReplicated(t, c) })
}

// services tests separate services behind Nginx.
func services(t *testing.T, c *cluster.Cluster, rounds int) {
	t.Run("suite", func(t *testing.T) { suite.Run(t, suite.Target{URL: c.URL, Exclusive: true}) })
	t.Run("feed", func(t *testing.T) { feed.Run(t, suite.Target{URL: c.URL, Exclusive: true}) })
	t.Run("published client of the feed", func(t *testing.T) { feed.PublishedClient(t, c.URL) })
	t.Run("one winner over two command services", func(t *testing.T) { suite.OneWinner(t, c.WriteURLs(), 20) })
	t.Run("no gaps over two command services", func(t *testing.T) { suite.NoGaps(t, c.WriteURLs(), c.ReadURLs()) })
	t.Run("on the wire", func(t *testing.T) { onTheWire(t, c) })
	t.Run("foreign records", func(t *testing.T) { foreignRecords(t, c) })
	t.Run("foreign transactions", func(t *testing.T) { foreignTransactions(t, c) })
	t.Run("move a standalone store here", func(t *testing.T) { moveStore(t, c) })
	t.Run("admin is not reachable", func(t *testing.T) { adminIsHidden(t, c) })
	t.Run("snapshots under load", func(t *testing.T) { snapshotsUnderLoad(t, c) })
	t.Run("verify under load", func(t *testing.T) { verifyUnderLoad(t, c) })
	t.Run("a node with a full disk", func(t *testing.T) { fullDisk(t, c, c.Queries[2]) })
	t.Run("status reports dead nodes", func(t *testing.T) { statusMissesTheDead(t, c, c.Queries[1]) })
	t.Run("tools name a stopped node", func(t *testing.T) { toolsNameTheStopped(t, c, c.Queries[1]) })
	for _, p := range c.Processes() {
		if p == c.Server || p == c.Commands[0] || p == c.Queries[0] {
			t.Run("kill "+p.Name+" under load", func(t *testing.T) { killUnderLoad(t, c, p) })
		}
	}
	t.Run("retries while a command service is killed", func(t *testing.T) { retriesUnderKills(t, c, c.Commands[0]) })
	t.Run("rebuild under load", func(t *testing.T) { rebuildUnderLoad(t, c) })
	t.Run("stop a command service under load", func(t *testing.T) { stopUnderLoad(t, c, c.Commands[1]) })
	t.Run("stop a query service under load", func(t *testing.T) { stopUnderLoad(t, c, c.Queries[1]) })
	t.Run("rolling restart under load", func(t *testing.T) { rollingRestart(t, c) })
	// These leave the most entities behind, which every later comparison of whole lists reads.
	t.Run("across services", func(t *testing.T) { acrossServices(t, c, rounds) })
	t.Run("every query node has everything", func(t *testing.T) { everyNodeHasAll(t, c) })
	t.Run("read models are equal", func(t *testing.T) { modelsAreEqual(t, c) })
}

// acrossServices creates an entity through one command service, reads it at once through every
// query node, and updates it through the other command service. No request may return 404. (In
// the demo that this project grew out of, an update could reach a node that did not know the
// entity yet. The node then lost the update or created another entity.)
func acrossServices(t *testing.T, c *cluster.Cluster, rounds int) {
	if n, err := strconv.Atoi(os.Getenv("CLUSTERLITE_E2E_ROUNDS")); err == nil {
		rounds = n
	}
	writes, reads := c.WriteURLs(), c.ReadURLs()
	var left atomic.Int64
	left.Store(int64(rounds))
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for n := left.Add(-1); n >= 0 && !t.Failed(); n = left.Add(-1) {
				round(t, writes[n%2], writes[(n+1)%2], reads)
			}
		})
	}
	clients.Wait()
}

func round(t *testing.T, creates, updates string, reads []string) {
	r, err := suite.Send("POST", creates+"/users", suite.UserBody("A", suite.Email()))
	if err != nil || r.Status != 201 {
		t.Errorf("create: got %d, %v, want 201: %s", r.Status, err, r.Body)
		return
	}
	path := r.Header.Get("Location")
	for _, url := range reads {
		if got, err := suite.Send("GET", url+path, ""); err != nil || got.Status != 200 || string(got.Body) != string(r.Body) {
			t.Errorf("read: got %d, %v: %s, want 200: %s", got.Status, err, got.Body, r.Body)
		}
	}
	if r, err = suite.Send("PATCH", updates+path, `{"name":"B"}`); err != nil || r.Status != 200 {
		t.Errorf("update: got %d, %v, want 200: %s", r.Status, err, r.Body)
	}
}

// everyNodeHasAll reads the whole list from each query node. (In the demo, nodes shared a
// consumer group, so each received only a part.)
func everyNodeHasAll(t *testing.T, c *cluster.Cluster) {
	ids := map[string]bool{}
	for range 30 {
		ids[suite.Target{URL: c.URL}.Create(t, "Ada").ID] = true
	}
	for _, url := range c.ReadURLs() {
		found := 0
		for _, e := range (suite.Target{URL: url}).All(t, 1000) {
			if ids[e.ID] {
				found++
			}
		}
		if found != len(ids) {
			t.Errorf("%s: got %d entities, want %d", url, found, len(ids))
		}
	}
	equalRows(t, c)
}

// equalRows waits until all nodes are at the end of the log. Then it compares digests and whole
// lists.
func equalRows(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	var digest string
	for _, p := range c.Processes() {
		if p == c.Server && len(c.Queries) > 0 {
			continue
		}
		atTheEnd(t, c, p)
		d := p.Status().Digests["users"]
		if digest == "" {
			digest = d
		}
		if d != digest {
			t.Errorf("%s: got digest %s, want that of the other nodes, %s", p.Name, d, digest)
		}
	}
	equalLists(t, c.ReadURLs())
}

// equalLists compares the whole list of each node, byte by byte. The pages of the first node must
// also match the OpenAPI description. This holds for equal pages of other nodes too, and
// validating a page takes longer than reading it.
func equalLists(t *testing.T, urls []string) {
	t.Helper()
	first := suite.Target{URL: urls[0]}
	for path := "/users?limit=5000"; path != ""; {
		want := first.Do(t, "GET", path, "").Want(t, 200)
		var others sync.WaitGroup
		for _, url := range urls[1:] {
			others.Go(func() {
				got, err := suite.Send("GET", url+path, "")
				if err != nil || got.Status != 200 {
					t.Errorf("%s%s: got %d, %v, want 200", url, path, got.Status, err)
				} else if !bytes.Equal(got.Body, want.Body) || got.Header.Get("Link") != want.Header.Get("Link") {
					t.Errorf("%s%s: got rows that differ from those of the other nodes", url, path)
				}
			})
		}
		others.Wait()
		path = want.Next(t)
	}
}

// atTheEnd waits until a node has applied everything that is in the log now.
func atTheEnd(t *testing.T, c *cluster.Cluster, p *cluster.Process) {
	t.Helper()
	r := suite.Target{URL: c.ReadURLs()[0]}.Do(t, "GET", "/users?limit=1", "", "Clusterlite-Consistency: strong").Want(t, 200)
	eventually(t, p.Name+" reaches the end", func() bool { return p.Status().Position >= r.Position(t) })
}

// adminIsHidden requests paths from Nginx that only the admin listeners serve.
func adminIsHidden(t *testing.T, c *cluster.Cluster) {
	for _, path := range []string{"/status", "/metrics", "/readyz", "/livez"} {
		(suite.Target{URL: c.URL}).Do(t, "GET", path, "").Problem(t, 404, "unknown-collection")
	}
	(suite.Target{URL: c.URL}).Do(t, "POST", "/rebuild", "{}").Problem(t, 404, "unknown-collection")
}
