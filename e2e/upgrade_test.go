package e2e_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// upgradedFrom returns the version that the upgrade starts with: the commit in
// CLUSTERLITE_E2E_FROM. By default it is the last version whose files do not record which
// record they applied last.
func upgradedFrom() string {
	if commit := os.Getenv("CLUSTERLITE_E2E_FROM"); commit != "" {
		return commit
	}
	return "c573591c2edf6e30224c19b8284ffc8c254e2075"
}

// TestUpgrade follows the runbook under load. It upgrades query nodes first, then command
// nodes, one after another, each with its own folder. No read fails or is stale. No write is
// lost, and writes fail only as they may when a service stops. One node is also downgraded and
// upgraded again.
func TestUpgrade(t *testing.T) {
	wanted(t, "upgrade")
	old := cluster.ProgramsOf(t, upgradedFrom())
	c := cluster.EmbeddedOf(t, old)
	l := startLoad(t, c.URL)
	readers := startReaders(t, []string{c.URL}, "strong")
	install := func(p *cluster.Process, programs string) {
		t.Helper()
		l.progress(30)
		if code := p.Stop(); code != 0 {
			t.Errorf("%s: got exit code %d, want 0", p.Name, code)
		}
		p.Install(programs)
		p.Start()
		p.AwaitReady()
		l.progress(30)
	}
	versions := map[string]bool{}
	note := func() {
		t.Helper()
		for version := range versionsOf(t, c) {
			versions[version] = true
		}
	}
	note()
	install(c.Queries[0], "")
	note()
	l.progress(30)
	downgrade(t, c.Queries[0], old)
	l.progress(30)
	for _, p := range append(c.Queries[:len(c.Queries):len(c.Queries)], c.Commands...) {
		install(p, "")
	}
	readers.end()
	l.end(c)
	proveEqual(t, c) // the old node with the broker is compared too
	c.Server.Stop()
	c.Server.Install("")
	c.Server.Start()
	c.Server.AwaitReady()
	for _, url := range c.ReadURLs() {
		// After the broker's restart, a node considers it unreachable, and refuses strong reads, until it asks
		// the broker again.
		eventually(t, url+" reaches the broker", func() bool {
			r, err := suite.Target{URL: url}.Try(t, "GET", "/users?limit=1", "", "Clusterlite-Consistency: strong")
			return err == nil && r.Status == 200
		})
	}
	equalRows(t, c)
	proveEqual(t, c)
	if note(); len(versions) != 2 {
		t.Errorf("got the versions %v, want two", versions)
	}
	if now := versionsOf(t, c); len(now) != 1 {
		t.Errorf("after the upgrade: got the versions %v, want one", now)
	}
}

// downgrade installs an earlier version. That version rejects the file, because it does not
// know the tables, and leaves it unchanged. It then reads the log into an empty folder.
func downgrade(t *testing.T, p *cluster.Process, programs string) {
	t.Helper()
	if code := p.Stop(); code != 0 {
		t.Errorf("%s: got exit code %d, want 0", p.Name, code)
	}
	p.Install(programs)
	p.Start()
	if code := p.AwaitExit(); code == 0 || !strings.Contains(p.Output(), "other-schema") {
		t.Errorf("got exit status %d, want a failure with other-schema: %s", code, p.Output())
	}
	if err := os.RemoveAll(p.DataDir()); err != nil {
		t.Fatal(err)
	}
	p.Start()
	p.AwaitReady()
}

// versionsOf returns the versions that nodes report, each with its nodes.
func versionsOf(t *testing.T, c *cluster.Cluster) map[string][]string {
	t.Helper()
	out, err := c.Tool(t, cluster.Topic, "nodes", "--output", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Nodes []struct{ Node, Version string }
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Nodes) != len(c.Processes()) {
		t.Fatalf("got %v: %s, want a report about each node", err, out)
	}
	versions := map[string][]string{}
	for _, n := range report.Nodes {
		versions[n.Version] = append(versions[n.Version], n.Node)
	}
	return versions
}

func proveEqual(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	out, err := c.Tool(t, cluster.Topic, "verify", "--deep").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Equal: 6 of 6 nodes") {
		t.Errorf("got %v: %s, want 6 equal nodes", err, out)
	}
}
