package cluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster"
	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/comparison"
	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/overview"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

var update = flag.Bool("update", false, "write golden files")

// A testCluster is a broker with nodes.
type testCluster struct {
	t      *testing.T
	broker *servicetest.Broker
	nodes  []*node.Node
	stops  []func() error
	made   int
}

func startCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, broker: servicetest.StartBroker(t)}
	for i := range n {
		running, stop := servicetest.StartNode(t, c.broker, fmt.Sprintf("query-%d", i+1))
		c.nodes, c.stops = append(c.nodes, running), append(c.stops, stop)
	}
	return c
}

// write appends n users, which are always the same, and waits until all nodes have them.
func (c *testCluster) write(n int) (ids []string) {
	c.t.Helper()
	var batch []events.Event
	for range n {
		c.made++
		id := fmt.Sprintf("0193a1a0-0000-7000-8000-%012d", c.made)
		ids = append(ids, id)
		batch = append(batch, events.Event{
			ID: fmt.Sprintf("0193a1a0-0000-7000-9000-%012d", c.made), Source: "/test", Collection: "users", EntityID: id, Kind: events.Created, Version: 1,
			Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Document: fmt.Appendf(nil, `{"name":"N%d"}`, c.made),
		})
	}
	c.append(batch...)
	return ids
}

func (c *testCluster) append(batch ...events.Event) {
	c.t.Helper()
	end, err := c.nodes[0].Log.Append(servicetest.Context(c.t), batch...)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, n := range c.nodes {
		if err := n.Model.WaitFor(servicetest.Context(c.t), end); err != nil {
			c.t.Fatal(err)
		}
	}
}

// tamper changes one row of a node's file without the node's knowledge.
func (c *testCluster) tamper(n *node.Node, statement string, args ...any) {
	c.t.Helper()
	db, err := sqlx.Open("sqlite3", filepath.Join(n.DataDir, datafolder.FileName)+"?_busy_timeout=10000")
	if err != nil {
		c.t.Fatal(err)
	}
	result, err := db.Exec(statement, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		c.t.Fatalf("%s: got %d changed rows, %v, want 1", statement, n, err)
	}
	if err := db.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// tool runs a subcommand, and returns whether it reported success.
func (c *testCluster) tool(args ...string) (out string, well bool) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	err := cli.Run(servicetest.Context(c.t), append(args, "--kafka-brokers", c.broker.Addr()), &stdout, &stderr)
	if err != nil && !errors.Is(err, process.ErrReported) {
		c.t.Fatalf("%v: got %v, want success or a reported failure\n%s%s", args, err, stdout.String(), stderr.String())
	}
	return stdout.String(), err == nil
}

// changing matches the parts of results that differ in each run.
var changing = map[*regexp.Regexp]string{
	regexp.MustCompile(`127\.0\.0\.1:\d+`):                  "127.0.0.1:PORT",
	regexp.MustCompile(`"((?:topic_)?id)": "[0-9a-f]{32}"`): `"$1": "ID"`,
	regexp.MustCompile(`"(heard|at)": "2[^"]*Z"`):           `"$1": "TIME"`,
	regexp.MustCompile(`"rate": [0-9.e-]+`):                 `"rate": 0`,
	regexp.MustCompile(`"version": "dev[^"]*"`):             `"version": "dev"`,
	regexp.MustCompile(`"((?:free|size)_bytes)": [1-9]\d*`): `"$1": 1`,
}

// golden compares a result with a file. The format of output for programs must not change.
func golden(t *testing.T, name, got string) {
	t.Helper()
	for pattern, with := range changing {
		got = pattern.ReplaceAllString(got, with)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

func decode[T any](t *testing.T, out string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("decode the result: %v:\n%s", err, out)
	}
	return v
}

// all checks that a text contains all parts.
func all(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("want %q in:\n%s", part, text)
		}
	}
}

func TestStatusOfAHealthyCluster(t *testing.T) {
	c := startCluster(t, 3)
	c.write(3)
	out, well := c.tool("status", "--output", "json")
	if !well {
		t.Errorf("got problems, want none:\n%s", out)
	}
	golden(t, "status.json", out)
	text, well := c.tool("status")
	if !well {
		t.Error("got problems, want none")
	}
	all(t, text, "query-1", "query-3", "users", "query-1, query-2, query-3", "All is well.")
}

func TestStatusReportsProblems(t *testing.T) {
	c := startCluster(t, 4)
	c.write(3)
	if err := c.stops[3](); err != nil { // the node announces that it stops
		t.Fatal(err)
	}
	ctx := servicetest.Context(t)
	for name, e := range map[string]roster.Entry{
		"dead":   {At: time.Now().Add(-time.Hour), State: roster.Running, Admin: "127.0.0.1:1", Position: 1},
		"hides":  {At: time.Now(), State: roster.Running, Admin: "127.0.0.1:1"},
		"moved":  {At: time.Now(), State: roster.Running, Admin: c.nodes[0].Admin.String()},
		"failed": {At: time.Now(), State: roster.Failed, Reason: "ahead-of-log: this node has applied 9 records"},
	} {
		e.Node, e.Role = name, "query"
		if err := roster.Announce(ctx, c.nodes[0].Log, e); err != nil {
			t.Fatal(err)
		}
	}
	out, well := c.tool("status", "--output", "json")
	r := decode[overview.Report](t, out)
	if well || r.Healthy {
		t.Error("got a healthy cluster, want problems")
	}
	states := map[string]overview.State{}
	for _, n := range r.Nodes {
		states[n.Node] = n.State
		if n.Node == "dead" && (n.Position != 1 || n.Lag == nil || n.Lag.Events != 2 || n.Entities != nil) {
			t.Errorf("got %+v for the dead node, want position 1 and a lag of 2 events", n)
		}
	}
	want := map[string]overview.State{
		"query-1": "ready", "query-2": "ready", "query-3": "ready", "query-4": "left",
		"dead": "gone", "hides": "unreachable", "moved": "unreachable", "failed": "failed",
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(r.Problems) != 4 {
		t.Errorf("got the problems %q, want 4", r.Problems)
	}
	all(t, strings.Join(r.Problems, "\n"), "dead is gone", "hides is unreachable", "This is node query-1", "ahead-of-log")
	text, _ := c.tool("status")
	all(t, text, "Problems:", "gone", "1 node has left (query-4): use --all to show them", "ahead-of-log")
	if strings.Contains(text, "\nquery-4") {
		t.Errorf("got a separate line for the node that has left, want none:\n%s", text)
	}
	text, _ = c.tool("status", "--all")
	all(t, text, "\nquery-4")
	text, _ = c.tool("nodes")
	all(t, text, "1 node has left (query-4)", "\nfailed ")
	text, _ = c.tool("nodes", "--all")
	all(t, text, "\nquery-4 ")

	out, _ = c.tool("nodes", "--output", "json")
	if n := len(decode[cluster.Roll](t, out).Nodes); n != 8 {
		t.Errorf("got %d nodes, want 8: %s", n, out)
	}
	var stderr bytes.Buffer
	for names, said := range map[string]string{"query-1": "is running", "dead nobody": "nobody"} {
		args := append(append([]string{"nodes", "forget"}, strings.Fields(names)...), "--kafka-brokers", c.broker.Addr())
		if err := cli.Run(ctx, args, &stderr, &stderr); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("forget %s: got %v, want an error with %q", names, err, said)
		}
	}
	if out, _ := c.tool("nodes", "forget", "--left"); out != "forgot query-4\n" {
		t.Errorf("got %s, want only query-4 forgotten", out)
	}
	clitest.CheckUsage(t, "nodes", [][]string{{"forget"}, {"forget", "a", "--left"}})
	if out, _ := c.tool("nodes", "forget", "dead", "hides", "moved", "failed"); strings.Count(out, "forgot") != 4 {
		t.Errorf("got %s, want 4 nodes forgotten", out)
	}
	if out, well := c.tool("status"); !well {
		t.Errorf("got problems, want none:\n%s", out)
	}
}

func TestStatusWithoutATopicOrABroker(t *testing.T) {
	b := servicetest.StartBroker(t)
	var out bytes.Buffer
	err := cli.Run(servicetest.Context(t), []string{"status", "--kafka-brokers", b.Addr()}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "topic clusterlite.events does not exist") {
		t.Errorf("got %v, want an error that says that the topic does not exist", err)
	}
	err = cli.Run(servicetest.Context(t), []string{"status", "--kafka-brokers", "127.0.0.1:1"}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "the broker is unreachable") {
		t.Errorf("got %v, want an error that says that the broker is unreachable", err)
	}
}

// While the broker is unreachable, status finds nodes at the addresses that the operator gives.
func TestStatusWhileTheBrokerIsAway(t *testing.T) {
	c := startCluster(t, 2)
	c.write(3)
	c.broker.Close()
	admin := "--admin=http://" + c.nodes[0].Admin.String() + "," + c.nodes[1].Admin.String() + ",127.0.0.1:1"
	text, well := c.tool("status", admin)
	if well {
		t.Error("got a healthy cluster, want problems")
	}
	all(t, text, "the broker is unreachable", "\nquery-1 ", "\nquery-2 ", "users", "Problems:", "127.0.0.1:1")
	out, _ := c.tool("status", admin, "--output=json")
	r := decode[overview.Report](t, out)
	if r.Healthy || !strings.Contains(r.BrokerError, "the broker is unreachable") || len(r.Nodes) != 2 || r.Nodes[0].Node != "query-1" || r.Nodes[0].Role != "query" || r.Nodes[0].Position != 3 || r.Nodes[0].Entities["users"] != 3 {
		t.Errorf("got %+v, want the broker's error and two nodes with 3 users", r)
	}
	err := cli.Run(servicetest.Context(t), []string{"status", "--admin=127.0.0.1:1", "--kafka-brokers=" + c.broker.Addr()}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "the broker is unreachable") || !strings.Contains(err.Error(), "No node answered at 127.0.0.1:1") {
		t.Errorf("no node answers: got %v, want both reasons", err)
	}
	clitest.CheckUsage(t, "status", [][]string{{"--admin=nowhere"}})
}

// frames receives each frame that is drawn.
type frames chan string

func (f frames) Write(p []byte) (int, error) { f <- string(p); return len(p), nil }

func TestStatusWatches(t *testing.T) {
	c := startCluster(t, 1)
	ctx, cancel := context.WithCancel(servicetest.Context(t))
	defer cancel()
	shown, ran := make(frames, 1000), make(chan error, 1)
	var stderr bytes.Buffer
	go func() {
		ran <- cli.Run(ctx, []string{"status", "--watch", "--interval", "100ms", "--kafka-brokers", c.broker.Addr()}, shown, &stderr)
	}()
	first := <-shown
	all(t, first, "query-1", "end 0")
	c.write(2)
	for frame := first; !strings.Contains(frame, "end 2"); {
		select {
		case frame = <-shown:
		case err := <-ran:
			t.Fatalf("status --watch ended: %v", err)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("got %v after the end of the context, want success", err)
	}
}

func TestVoids(t *testing.T) {
	c := startCluster(t, 2)
	c.write(1)
	again := events.Event{
		ID: "0193a1a0-0000-7000-9000-999999999999", Source: "/test", Collection: "users", EntityID: "0193a1a0-0000-7000-8000-000000000001", Kind: events.Created, Version: 1,
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Document: []byte(`{}`),
	}
	c.append(again, again)
	out, _ := c.tool("voids", "--limit", "1", "--output", "json")
	// Any node may answer first. All nodes have the same voids.
	golden(t, "voids.json", strings.Replace(out, `"node": "query-2"`, `"node": "query-1"`, 1))
	text, _ := c.tool("voids", "--node", "query-2")
	all(t, text, "conflict", "the entity exists or existed", "2 void records up to position 3, according to query-2, conflict 2")
	var stderr bytes.Buffer
	if err := cli.Run(servicetest.Context(t), []string{"voids", "--node", "query-9", "--kafka-brokers", c.broker.Addr()}, &stderr, &stderr); err == nil || !strings.Contains(err.Error(), "query-9") {
		t.Errorf("got %v, want an error that names query-9", err)
	}
	for _, stop := range c.stops {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cli.Run(servicetest.Context(t), []string{"voids", "--kafka-brokers", c.broker.Addr()}, &stderr, &stderr); err == nil || !strings.Contains(err.Error(), "no running node") {
		t.Errorf("got %v, want an error that says that no node is running", err)
	}
}

func TestVerifyWhileWritesGoOn(t *testing.T) {
	c := startCluster(t, 3)
	c.write(100)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.write(10)
			}
		}
	})
	for range 3 {
		out, well := c.tool("verify", "--deep", "--output", "json")
		if r := decode[comparison.Report](t, out); !well || !r.Equal || len(r.Nodes) != 3 || r.Nodes[2].Deep.Collections["users"].Rows < 100 || r.Nodes[1].Digests["users"].Entities < 100 {
			t.Errorf("got %s, want three equal nodes with at least 100 users", out)
		}
	}
	close(stop)
	writer.Wait()
}

func TestVerifyOfEqualNodes(t *testing.T) {
	c := startCluster(t, 2)
	c.write(3)
	out, _ := c.tool("verify", "--deep", "--output", "json")
	golden(t, "verify.json", out)
	text, well := c.tool("verify")
	if !well {
		t.Error("got problems, want none")
	}
	all(t, text, "query-1", "hold", "Equal: 2 of 2 nodes at position 5.")
}

func TestVerifyFindsWhatDiffers(t *testing.T) {
	c := startCluster(t, 3)
	ids := c.write(20)
	c.tamper(c.nodes[0], `UPDATE users SET doc = replace(doc, 'N7"', 'X7"') WHERE id = unhex(replace(?, '-', ''))`, ids[6])
	c.tamper(c.nodes[1], `DELETE FROM users WHERE id = unhex(replace(?, '-', ''))`, ids[3])
	c.tamper(c.nodes[1], `INSERT INTO users (id, version, created_at, updated_at, doc, _claims) SELECT CAST('ffff' AS BLOB), version, created_at, updated_at, doc, _claims FROM users WHERE id = unhex(replace(?, '-', ''))`, ids[0])
	out, well := c.tool("verify", "--output", "json")
	r := decode[comparison.Report](t, out)
	if well || r.Equal || len(r.Differences) != 2 {
		t.Fatalf("got %s, want two differences", out)
	}
	all(t, strings.Join(r.Differences, "\n"), "query-1: the rows of users", "query-2: the rows of users")

	out, well = c.tool("verify", "--deep", "--output", "json")
	if well {
		t.Error("got a healthy cluster, want problems")
	}
	golden(t, "verify-different.json", out)
	text, _ := c.tool("verify", "--deep", "--node", "query-1")
	all(t, text, "differ", ids[6]+" changed (the node: version 1, the log: version 1)", "1 changed, 0 missing, 0 unexpected")
}

// A node that applied an event to a wrong state has a different digest from then on, even
// if its rows match its digest.
func TestVerifyFindsNodesThatDiffer(t *testing.T) {
	c := startCluster(t, 3)
	ids := c.write(1)
	c.tamper(c.nodes[2], `UPDATE users SET version = 5 WHERE id = unhex(replace(?, '-', ''))`, ids[0])
	changed := events.Event{
		ID: "0193a1a0-0000-7000-9000-999999999999", Source: "/test", Collection: "users", EntityID: ids[0], Kind: events.Updated, Version: 2,
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Document: []byte(`{"name":"changed"}`),
	}
	c.append(changed)
	out, well := c.tool("verify", "--output", "json")
	if r := decode[comparison.Report](t, out); well || !strings.Contains(r.Differences[0], "query-1, query-2 have 1 entity with digest") {
		t.Errorf("got %s, want the two digests as the first difference", out)
	}
	if out, well := c.tool("status"); well || !strings.Contains(out, "nodes query-1 and query-3 differ in users at position 3") {
		t.Errorf("got %s, want a difference between query-1 and query-3", out)
	}
}

func TestVerifyMissesANodeThatDoesNotAnswer(t *testing.T) {
	c := startCluster(t, 1)
	c.write(1)
	if err := roster.Announce(servicetest.Context(t), c.nodes[0].Log, roster.Entry{Node: "dead", Role: "query", Admin: "127.0.0.1:1", State: roster.Running, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	text, well := c.tool("verify", "--deep")
	if well {
		t.Error("got a healthy cluster, want problems")
	}
	all(t, text, "not checked", "node dead can't be reached at 127.0.0.1:1")
	if text, well := c.tool("verify", "--node", "query-1"); !well {
		t.Errorf("without the changed node: got %s, want success", text)
	}
}

func TestVerifyMissesANodeThatIsBehind(t *testing.T) {
	c := startCluster(t, 2)
	c.write(1)
	n := c.nodes[1]
	db, err := sqlx.Open("sqlite3", filepath.Join(n.DataDir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(`CREATE TRIGGER hinder BEFORE UPDATE ON _checkpoint BEGIN SELECT raise(FAIL, 'the disk is full'); END`); err != nil {
		t.Fatal(err)
	}
	text, well := c.tool("verify", "--wait", "100ms")
	if well {
		t.Error("got a healthy cluster, want problems")
	}
	// Verify reports where the node has stopped or, if it knows it already, why.
	all(t, text, "node query-2 could not be checked")
	if !strings.Contains(text, "at position 1") && !strings.Contains(text, "the disk is full") {
		t.Errorf("got %s\nwant in it the position of query-2, or that its disk is full", text)
	}
	for ctx := servicetest.Context(t); n.Model.Ready(time.Minute) == nil && ctx.Err() == nil; time.Sleep(time.Millisecond) {
	}
	if text, well := c.tool("status"); well || !strings.Contains(text, "node query-2 is unready: can't apply the log") || !strings.Contains(text, "the disk is full") {
		t.Errorf("got %s, want query-2 to be unready because of a full disk", text)
	}
}

func TestVerifyOfAFolder(t *testing.T) {
	c := startCluster(t, 1)
	ids := c.write(3)
	n := c.nodes[0]
	verify := func(dir string) (string, error) {
		var out bytes.Buffer
		err := cli.Run(servicetest.Context(t), []string{"verify", "--data-dir", dir}, &out, &out)
		return out.String(), err
	}
	for _, state := range []string{"running", "stopped"} {
		if out, err := verify(n.DataDir); err != nil {
			t.Errorf("%s: got %v, want success\n%s", state, err, out)
		}
		if err := c.stops[0](); err != nil {
			t.Fatal(err)
		}
	}
	c.tamper(n, `UPDATE users SET version = 2 WHERE id = unhex(replace(?, '-', ''))`, ids[1])
	out, err := verify(n.DataDir)
	if !errors.Is(err, process.ErrReported) {
		t.Errorf("got %v, want a reported difference", err)
	}
	all(t, out, "differ", "the rows of users were changed by something else than the log")

	empty := t.TempDir()
	if _, err := verify(empty); err == nil {
		t.Error("got success for an empty folder, want an error")
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("got the new files %v, %v, want none", left, err)
	}
	if err := os.WriteFile(filepath.Join(empty, datafolder.FileName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var refused *refusal.Error
	if _, err := verify(empty); !errors.As(err, &refused) || refused.Reason != refusal.Schema {
		t.Errorf("a file of another version: got %v, want a refusal because of the schema", err)
	}
	var usage *settings.UsageError
	if err := cli.Run(t.Context(), []string{"verify", "--data-dir", "x", "--deep"}, io.Discard, io.Discard); !errors.As(err, &usage) {
		t.Errorf("got %v, want a usage error", err)
	}
}

// Verify handles collections that only one side has, and more differing entities than it lists.
func TestVerifyNamesTheFirst(t *testing.T) {
	c := startCluster(t, 1)
	ids := c.write(30)
	order := events.Event{
		ID: "0193a1a0-0000-7000-9000-999999999999", Source: "/test", Collection: "orders", EntityID: ids[0], Kind: events.Created, Version: 1,
		Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Document: []byte(`{}`),
	}
	last := order
	last.ID, last.Collection = "0193a1a0-0000-7000-9000-999999999998", "zebras"
	c.append(order, last)
	n := c.nodes[0]
	for _, id := range ids[10:25] {
		c.tamper(n, `DELETE FROM users WHERE id = unhex(replace(?, '-', ''))`, id)
	}
	c.tamper(n, `DELETE FROM orders`)
	c.tamper(n, `DELETE FROM zebras`)
	for _, name := range []string{"ghosts", "apples"} {
		c.tamper(n, `INSERT INTO _tombstones VALUES (?, CAST('x' AS BLOB), 3, '', '')`, name)
	}
	out, well := c.tool("verify", "--deep", "--output", "json")
	r := decode[comparison.Report](t, out)
	if well || len(r.Nodes) != 1 || r.Nodes[0].Deep == nil {
		t.Fatalf("got %s, want a deep comparison of one node with differences", out)
	}
	want := map[string]comparison.Difference{
		"apples": {Unexpected: 1, First: []comparison.Differing{{ID: "x", How: "unexpected", Node: "deleted by version 3"}}},
		"ghosts": {Unexpected: 1, First: []comparison.Differing{{ID: "x", How: "unexpected", Node: "deleted by version 3"}}},
		"orders": {Rows: 1, Missing: 1, First: []comparison.Differing{{ID: ids[0], How: "missing", Log: "version 1"}}},
		"zebras": {Rows: 1, Missing: 1, First: []comparison.Differing{{ID: ids[0], How: "missing", Log: "version 1"}}},
		"users":  {Rows: 30, Missing: 15},
	}
	users := want["users"]
	for _, id := range ids[10:20] {
		users.First = append(users.First, comparison.Differing{ID: id, How: "missing", Log: "version 1"})
	}
	want["users"] = users
	if diff := cmp.Diff(want, r.Nodes[0].Deep.Collections); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	all(t, strings.Join(r.Differences, "\n"), "0 changed, 15 missing, 0 unexpected", ids[19]+" missing (the log: version 1), …")
}
