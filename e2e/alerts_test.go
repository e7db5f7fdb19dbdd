package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// TestAlertsOfACluster runs a Prometheus with the shipped rules, whose times are shortened to seconds,
// and breaks a store. Each fault fires its alert, and before that no alert fires.
func TestAlertsOfACluster(t *testing.T) {
	wanted(t, "embedded")
	c := cluster.Serve(t)
	writer, one, two := c.AddCommand(), c.AddQuery(), c.AddQuery()
	writer.Set("CLUSTERLITE_MAX_REQUESTS", "1")
	writer.Set("CLUSTERLITE_WRITE_WAIT", "2s")
	models := t.TempDir()
	write(t, filepath.Join(models, "strict.sql"), `
CREATE TABLE names (id TEXT PRIMARY KEY, name TEXT NOT NULL CHECK (name <> 'Mallory'));

-- on: users.created
INSERT INTO names VALUES (:id, :document ->> 'name');
`)
	one.Set("CLUSTERLITE_MODELS_DIR", models)
	root := os.Geteuid() == 0
	if root {
		if err := os.MkdirAll(one.DataDir(), 0o750); err != nil {
			t.Fatal(err)
		}
		cluster.Mount(t, one.DataDir(), 64)
	}
	for _, p := range []*cluster.Process{writer, one, two} {
		p.Start()
		p.AwaitReady()
	}
	p := startPrometheus(t, c.Server, writer, one, two)
	eventually(t, "Prometheus has scraped each process", func() bool { return p.value(t, `sum(up{job="clusterlite"})`) == "4" })
	importUsers(t, c.URL, 10)
	eventually(t, "Prometheus has scraped the entities", func() bool { return p.value(t, `min(clusterlite_position)`) == fmt.Sprint(one.Status().Position) })
	if firing := p.firing(t); len(firing) > 0 {
		t.Fatalf("got the alerts %v of a healthy store, want none", firing)
	}

	// First all faults, then their alerts, so that the times of the rules pass at once.
	uselessRecord(t, c)
	(suite.Target{URL: c.URL}).Do(t, "POST", "/users", `{"name":"Mallory","email":"m@example.com"}`).Want(t, 201)
	(suite.Target{URL: two.Admin}).Do(t, "POST", "/rebuild?back=true", "").Want(t, 202) // there is nothing to go back to
	if root {
		leaveFree(t, one.DataDir(), 2<<20)
	}
	p.fires(t, "ClusterLiteMalformedRecords", two)
	p.fires(t, "ClusterLiteModelStopped", one)
	p.fires(t, "ClusterLiteRebuildFailed", two)
	if root {
		p.fires(t, "ClusterLiteDiskAlmostFull", one)
	}

	file, err := filepath.EvalSymlinks(filepath.Join(two.DataDir(), "projection.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.fires(t, "ClusterLiteProjectionDamaged", two)

	stall(t, c, writer)
	p.fires(t, "ClusterLiteOutcomesUnknown", writer)
	p.fires(t, "ClusterLiteRequestsRejected", writer)

	two.Stop()
	two.Set("CLUSTERLITE_BOOTSTRAP", t.TempDir()) // without a snapshot
	two.Start()
	p.fires(t, "ClusterLiteSnapshotOld", nil)

	two.Kill()
	drain(t, one)
	p.fires(t, "ClusterLiteDown", two)
	p.fires(t, "ClusterLiteTooFewReady", nil)

	c.Server.Kill() // the broker as well
	p.fires(t, "ClusterLiteBrokerUnreachable", writer)
}

// underReplicated stops a broker. The alert fires until the broker is back in sync.
func underReplicated(t *testing.T, c *cluster.Cluster) {
	p := startPrometheus(t, c.Queries[0], c.Commands[0])
	known := `count(clusterlite_topic_in_sync_replicas == 3 and clusterlite_topic_replicas == 3)`
	eventually(t, "both services know that all replicas are in sync", func() bool { return p.value(t, known) == "2" })
	const broker = 3
	c.Kafka.Stop(broker)
	p.fires(t, "ClusterLiteUnderReplicated", nil)
	c.Kafka.Start(broker)
	c.Kafka.AwaitInSync(cluster.Topic)
	eventually(t, "the alert ends", func() bool { return !p.firing(t)["ClusterLiteUnderReplicated "] })
}

// uselessRecord appends a record that no rule understands.
func uselessRecord(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers), kgo.DefaultProduceTopic(cluster.Topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := client.ProduceSync(ctx, &kgo.Record{Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// leaveFree fills the disk of a folder until so many bytes are free.
func leaveFree(t *testing.T, dir string, bytes int64) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ballast"), strings.Repeat("x", int(int64(s.Bavail)*s.Bsize-bytes)))
}

// stall stops the broker while a command service that serves one request at a time gets many. The
// outcome of the one in progress is unknown, and others are rejected. If the service noticed first that
// the broker does not answer, it appended nothing, and stall tries again.
func stall(t *testing.T, c *cluster.Cluster, writer *cluster.Process) {
	t.Helper()
	eventually(t, "a write has an unknown outcome", func() bool {
		if r, err := suite.Send("POST", writer.URL+"/users", suite.UserBody("A", suite.Email())); err != nil || r.Status != http.StatusCreated {
			return false
		}
		c.Server.Signal(syscall.SIGSTOP)
		defer c.Server.Signal(syscall.SIGCONT)
		var unknown, rejected atomic.Int64
		var clients sync.WaitGroup
		for range 30 {
			clients.Go(func() {
				r, err := suite.Send("POST", writer.URL+"/users", suite.UserBody("B", suite.Email()))
				switch {
				case err != nil:
					t.Error(err)
				case strings.Contains(string(r.Body), "outcome-unknown"):
					unknown.Add(1)
				case strings.Contains(string(r.Body), "overloaded"):
					rejected.Add(1)
				}
			})
		}
		clients.Wait()
		return unknown.Load() > 0 && rejected.Load() > 0
	})
}
