package node_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// await waits until the only entry of the roster satisfies ok.
func await(t *testing.T, log *eventlog.Log, what string, ok func(roster.Entry) bool) roster.Entry {
	t.Helper()
	for ctx := servicetest.Context(t); ; time.Sleep(10 * time.Millisecond) {
		entries, err := roster.List(ctx, log)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 1 && ok(entries[0]) {
			return entries[0]
		}
	}
}

func TestANodeIsFound(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	n, stop := servicetest.StartNode(t, b, "query-1")
	entries, err := roster.List(servicetest.Context(t), log) // at once: a ready node is known
	if err != nil || len(entries) != 1 || entries[0].State != roster.Running {
		t.Fatalf("got %+v, %v, want the running node", entries, err)
	}
	e := entries[0]
	if host, port, err := net.SplitHostPort(e.Admin); err != nil || host != "127.0.0.1" || port == "0" || e.Node != "query-1" || e.Role != "query" || e.Version == "" || e.Silent(time.Now()) {
		t.Errorf("got %+v, want query-1 running with its admin address", e)
	}
	if !e.Silent(e.At.Add(time.Hour)) {
		t.Error("got a node that is not silent after an hour, want a silent one")
	}
	end, err := log.Barrier(servicetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Model.WaitFor(servicetest.Context(t), end); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if e := await(t, log, "left", func(e roster.Entry) bool { return e.State != roster.Running }); e.State != roster.Left || e.Position != end || e.Silent(e.At.Add(time.Hour)) {
		t.Errorf("got %+v, want a node that left at the end of the log", e)
	}
	if found, err := roster.Forget(servicetest.Context(t), log, "query-1"); err != nil || !found {
		t.Errorf("got %t, %v, want the node found", found, err)
	}
	if entries, err := roster.List(servicetest.Context(t), log); err != nil || len(entries) != 0 {
		t.Errorf("got %v, %v, want no entries", entries, err)
	}
}

func TestWhereANodeIsReached(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	for _, c := range []struct{ bind, advertise, prefix string }{
		{"0.0.0.0:0", "", host + ":"},
		{"127.0.0.1:0", "", "127.0.0.1:"},
		{"127.0.0.1:0", "query.example:9082", "query.example:9082"},
	} {
		b := servicetest.StartBroker(t)
		_, stop := servicetest.RunNode(t, b, "query-1", func(config *node.Config) { config.AdminAddr, config.AdminAdvertise = c.bind, c.advertise })
		e := await(t, b.OpenLog(), "announced", func(roster.Entry) bool { return true })
		if !strings.HasPrefix(e.Admin, c.prefix) || strings.HasSuffix(e.Admin, ":0") {
			t.Errorf("%v: got %s, want the prefix and the bound port", c, e.Admin)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// Consumer groups of other programs are left alone, even if their names resemble a node's.
func TestOtherGroupsAreNotNodes(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	if _, err := log.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	for _, noted := range []string{"", "{", `{"a":1}`} {
		if err := log.Announce(servicetest.Context(t), eventlog.Announcement{Node: "stranger", Note: noted}); err != nil {
			t.Fatal(err)
		}
		if entries, err := roster.List(servicetest.Context(t), log); err != nil || len(entries) != 0 {
			t.Errorf("%q: got %v, %v, want no entries", noted, entries, err)
		}
	}
}

func TestANodeThatFailsGivesTheReason(t *testing.T) {
	b := servicetest.StartBroker(t)
	n, stop := servicetest.StartNode(t, b, "query-1")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	other, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "other.events", AskTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.Prepare(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	// The node refuses to use its file with another topic.
	_, stop = servicetest.RunNode(t, b, "query-1", func(config *node.Config) {
		config.DataDir, config.Kafka.Topic.Topic = n.DataDir, "other.events"
	})
	e := await(t, other, "failed", func(e roster.Entry) bool { return e.State == roster.Failed })
	if !strings.Contains(e.Reason, "other-topic") {
		t.Errorf("got %+v, want a reason that names other-topic", e)
	}
	if err := stop(); err == nil {
		t.Error("got no error from the stop, want one")
	}
}

// Two nodes share a data folder. A third one that starts later continues from the file of
// the node that left, under its name.
func TestNodesShareADataFolder(t *testing.T) {
	b := servicetest.StartBroker(t)
	shared := t.TempDir()
	start := func() (*node.Node, func() error) {
		t.Helper()
		ready, stop := servicetest.RunNode(t, b, "query", func(config *node.Config) { config.DataDir, config.DataSlots = shared, true })
		select {
		case n := <-ready:
			return n, stop
		case <-servicetest.Context(t).Done():
			t.Fatal("got no ready node in time, want one")
			return nil, nil
		}
	}
	first, stopFirst := start()
	second, _ := start()
	if first.NodeID != "query-1" || second.NodeID != "query-2" || first.DataDir == second.DataDir {
		t.Errorf("got nodes %s in %s and %s in %s, want query-1 and query-2 in folders of their own", first.NodeID, first.DataDir, second.NodeID, second.DataDir)
	}
	end, err := b.OpenLog().Barrier(servicetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Model.WaitFor(servicetest.Context(t), end); err != nil {
		t.Fatal(err)
	}
	if err := stopFirst(); err != nil {
		t.Fatal(err)
	}
	third, _ := start()
	if third.NodeID != "query-1" || third.DataDir != first.DataDir || third.Model.Position() < end {
		t.Errorf("got node %s in %s at position %d, want query-1 in %s at position %d or later", third.NodeID, third.DataDir, third.Model.Position(), first.DataDir, end)
	}
}
