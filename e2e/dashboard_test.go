package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/dashboard"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// TestDashboardOfACluster runs a store with all features under load, and a Prometheus. Each query of each
// panel of the dashboard must have data.
func TestDashboardOfACluster(t *testing.T) {
	wanted(t, "embedded")
	features, _ := allFeatures(t)
	c := cluster.Serve(t)
	writer, reader := c.AddCommand(), c.AddQuery()
	for _, p := range []*cluster.Process{writer, reader} {
		env := map[string]string{}
		features(p.Name, env)
		for name, value := range env {
			p.Set(name, value)
		}
		p.Start()
		p.AwaitReady()
	}
	p := watch(t, c)
	requests(t, writer.URL, reader.URL)
	from := time.Now()
	var empty []string
	defer func() {
		if t.Failed() {
			t.Logf("got no data for\n%s", strings.Join(empty, "\n"))
		}
	}()
	eventually(t, "each panel of the dashboard has data", func() bool {
		empty = nil
		now := time.Now()
		for _, a := range askAll(t, p, dashboard.Range{From: from, To: now, Step: time.Second, Rate: 4 * time.Second}) {
			for _, query := range a.Empty {
				empty = append(empty, fmt.Sprintf("%s: %s", a.Panel, query))
			}
		}
		return len(empty) == 0
	})
}

// TestDashboardImages draws the dashboard from a load on a cluster, with a rebuild and a webhook whose
// endpoint fails meanwhile. If CLUSTERLITE_E2E names kafka, the cluster has three brokers of Apache Kafka,
// of which one stops for a while.
func TestDashboardImages(t *testing.T) {
	dir := os.Getenv("CLUSTERLITE_DASHBOARD_IMAGES")
	if dir == "" {
		t.Skip("CLUSTERLITE_DASHBOARD_IMAGES does not name a folder")
	}
	took, err := time.ParseDuration(os.Getenv("CLUSTERLITE_DASHBOARD_TIME"))
	if err != nil {
		t.Fatal(err)
	}
	features, fails := allFeatures(t)
	var c *cluster.Cluster
	if onKafka := slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "kafka"); onKafka {
		c = cluster.OnKafka(t, features)
	} else {
		c = cluster.EmbeddedWith(t, 1, 2, features)
	}
	p := watch(t, c)
	from := time.Now()
	requests(t, c.URL, c.URL)
	later := func(part float64) { // waits until a part of the time has passed
		time.Sleep(time.Until(from.Add(time.Duration(part * float64(took)))))
	}
	later(0.25)
	suite.Target{URL: c.Queries[1].Admin}.Do(t, "POST", "/rebuild?rate=300", "").Want(t, 202)
	if c.Kafka != nil {
		later(0.5)
		c.Kafka.Stop(3)
		later(0.6)
		c.Kafka.Start(3)
	}
	later(0.75)
	fails.Store(true)
	later(0.85)
	fails.Store(false)
	later(1)
	r := dashboard.Range{From: from, To: time.Now(), Step: 2 * time.Second, Rate: 15 * time.Second}
	var all []dashboard.Drawing
	for _, s := range dashboard.Read(t) {
		d := dashboard.Drawing{Title: s.Title, Answers: ask(t, p, s, r)}
		for _, a := range d.Answers {
			if len(a.Empty) > 0 {
				t.Errorf("%s: got no data, want some: %s", a.Panel, strings.Join(a.Empty, "\n"))
			}
		}
		all = append(all, d)
	}
	dashboard.Draw(t, dir, all)
}

// allFeatures returns the settings of a store that has a webhook, rate limits and a read model, and
// whether the endpoint of its webhook fails.
func allFeatures(t *testing.T) (cluster.Setting, *atomic.Bool) {
	t.Helper()
	fails := &atomic.Bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if fails.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	hooks := filepath.Join(t.TempDir(), "webhooks.json")
	write(t, hooks, fmt.Sprintf(`{"webhooks": [{"name": "crm", "url": %q, "plaintext": true, "collections": ["users"], "from": "beginning", "secret_env": "HOOK_SECRET"}]}`, s.URL))
	return func(service string, env map[string]string) {
		env["CLUSTERLITE_RATE_LIMIT_ANONYMOUS"] = "100000/s"
		env["GOMEMLIMIT"] = "512MiB"
		if strings.HasPrefix(service, "query") {
			env["CLUSTERLITE_MODELS_DIR"] = filepath.Join(cluster.Root(t), "models")
			env["CLUSTERLITE_WEBHOOKS"] = hooks
			env["HOOK_SECRET"] = "whsec_" + strings.Repeat("c2Vj", 11)
		}
	}, fails
}

// watch starts a process that takes snapshots of a store, and a Prometheus that scrapes it and the store.
func watch(t *testing.T, c *cluster.Cluster) prometheus {
	t.Helper()
	snapshots := cluster.Address(t)
	cmd := c.Tool(t, cluster.Topic, "snapshot", "create", t.TempDir(), "--schedule=1m", "--metrics-addr="+snapshots)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the end of the test's context kills it
	targets := []string{fmt.Sprintf("{ targets: [%q], labels: { instance: snapshots } }", snapshots)}
	for _, p := range c.Processes() {
		targets = append(targets, fmt.Sprintf("{ targets: [%q], labels: { instance: %s } }", strings.TrimPrefix(p.Admin, "http://"), p.Node()))
	}
	return runPrometheus(t, "", targets)
}

// requests sends all kinds of requests until the end of the test. Faults may fail some of them.
func requests(t *testing.T, writes, reads string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	t.Cleanup(func() { stop(); clients.Wait() })
	for client := range 4 {
		clients.Go(func() {
			var path string
			for i := client; ctx.Err() == nil; i++ {
				r, err := suite.Send("POST", writes+"/users", suite.UserBody("Ada", suite.Email()))
				if err == nil && r.Status == http.StatusCreated {
					path = r.Header.Get("Location")
				}
				_, _ = suite.Send("PATCH", writes+path, fmt.Sprintf(`{"name":"Ada %d"}`, i))
				for range 3 {
					_, _ = suite.Send("GET", reads+path, "")
				}
				_, _ = suite.Send("GET", reads+"/users?limit=20&sort=-created_at", "")
				switch i % 8 {
				case 0:
					_, _ = suite.Send("GET", reads+path, "", "Clusterlite-Consistency: linearizable")
				case 1:
					_, _ = suite.Send("GET", writes+path, "", "Clusterlite-Consistency: linearizable")
				case 2:
					_, _ = suite.Send("DELETE", writes+path, "")
				case 3:
					_, _ = suite.Send("GET", reads+path+"-unknown", "")
				}
				time.Sleep(20 * time.Millisecond) // a pace that a loaded machine can follow
			}
		})
	}
}

func askAll(t *testing.T, p prometheus, r dashboard.Range) (all []dashboard.Answer) {
	t.Helper()
	for _, s := range dashboard.Read(t) {
		all = append(all, ask(t, p, s, r)...)
	}
	return all
}

func ask(t *testing.T, p prometheus, s dashboard.Section, r dashboard.Range) (all []dashboard.Answer) {
	t.Helper()
	for _, panel := range s.Panels {
		a, err := panel.Ask(t.Context(), p.url, r)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(a.Series, func(a, b dashboard.Series) int { return strings.Compare(a.Name, b.Name) })
		all = append(all, a)
	}
	return all
}
