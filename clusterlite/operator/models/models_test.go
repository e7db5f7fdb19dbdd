package models_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// cluster starts two nodes that serve the model m.
func cluster(t *testing.T, text string) (*servicetest.Broker, []*node.Node) {
	t.Helper()
	b := servicetest.StartBroker(t)
	var running []*node.Node
	for _, name := range []string{"one", "two"} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "m.sql"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ready, _ := servicetest.RunNode(t, b, name, func(c *node.Config) { c.ModelsDir, c.Journal = folder, "on" })
		select {
		case n := <-ready:
			running = append(running, n)
		case <-servicetest.Context(t).Done():
			t.Fatalf("got no readiness of %s, want it", name)
		}
	}
	until(t, "announcements", func() bool {
		var all struct {
			Nodes []struct{ Node string }
		}
		return clitest.Tool(t, b, &all, "nodes", "list") == nil && len(all.Nodes) == 2
	})
	return b, running
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for ctx := servicetest.Context(t); !is(); time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("got no %s in time", what)
		}
	}
}

func appendUser(t *testing.T, n *node.Node, name string) events.Position {
	t.Helper()
	at, err := n.Log.Append(servicetest.Context(t), events.Event{
		ID: uuid.NewString(), Source: "/test", Collection: "users", EntityID: uuid.NewString(), Kind: events.Created, Version: 1,
		Time: time.Now(), Document: fmt.Appendf(nil, `{"name":%q}`, name),
	})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

type lists struct{ Nodes []sqlmodels.List }

type verified struct {
	Equal  bool
	Models []struct{ Model, Result, Detail string }
}

// A report is that of verify.
type report struct {
	Equal       bool
	Differences []string
	Models      []struct {
		Model, Result string
		Digests       []sqlmodels.Digest
	}
}

// damage changes a row of the model in a folder.
func damage(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "m.*.db"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("got %v, %v, want one file", paths, err)
	}
	db, err := sql.Open("sqlite3", "file:"+paths[0]+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `UPDATE t SET name = 'other' WHERE name = 'good'`); err != nil {
		t.Fatal(err)
	}
}

func TestModels(t *testing.T) {
	b, running := cluster(t, `CREATE TABLE t (id TEXT, name TEXT CHECK (name <> 'bad'), at TEXT);
-- on: users.created
INSERT INTO t VALUES (:id, :document ->> 'name', datetime(:time));`)
	for i := range 20 {
		appendUser(t, running[0], "n"+strconv.Itoa(i))
	}
	var result verified
	if err := clitest.Tool(t, b, &result, "model", "verify"); err != nil || !result.Equal || len(result.Models) != 1 || result.Models[0].Result != "equal" {
		t.Errorf("got %+v, %v from verify, want an equal model", result, err)
	}

	bad := appendUser(t, running[0], "bad")
	end := appendUser(t, running[0], "good")
	list := func() (all lists) {
		if err := clitest.Tool(t, b, &all, "model", "list"); err != nil {
			t.Fatal(err)
		}
		return all
	}
	everywhere := func(is func(modelset.Status) bool) func() bool {
		return func() bool {
			for _, n := range list().Nodes {
				if len(n.Models) != 1 || n.Models[0].Serving == nil || !is(n.Models[0]) {
					return false
				}
			}
			return true
		}
	}
	until(t, "stop", everywhere(func(m modelset.Status) bool {
		return m.Serving.Stopped != nil && m.Serving.Stopped.Position == bad && strings.Contains(m.Serving.Stopped.Error, "CHECK")
	}))
	var done json.RawMessage
	if err := clitest.Tool(t, b, &done, "model", "skip", "m", "--position", strconv.Itoa(int(end))); !errors.Is(err, process.ErrReported) {
		t.Errorf("got %v for the skip of an event that did not fail, want %v", err, process.ErrReported)
	}
	if err := clitest.Tool(t, b, &done, "model", "skip", "m", "--node", "one", "--position", strconv.Itoa(int(bad))); err != nil {
		t.Errorf("got %v: %s for the skip on one node, want no error", err, done)
	}
	if err := clitest.Tool(t, b, &done, "model", "retry", "m", "--node", "two"); err != nil {
		t.Errorf("got %v: %s for a retry, want no error", err, done)
	}
	// The node stops again, and is then asked to skip too. It may not have stopped yet.
	until(t, "skip on the other node", func() bool {
		return clitest.Tool(t, b, &done, "model", "skip", "m", "--node", "two", "--position", strconv.Itoa(int(bad))) == nil
	})
	until(t, "end", everywhere(func(m modelset.Status) bool { return m.Serving.Position >= end && len(m.Skips) == 1 }))
	if err := clitest.Tool(t, b, &result, "model", "verify"); err != nil || !result.Equal {
		t.Errorf("got %+v, %v from verify after both skipped, want an equal model", result, err)
	}
	if err := clitest.Tool(t, b, &done, "model", "rebuild", "m"); err != nil {
		t.Errorf("got %v: %s for a rebuild, want no error", err, done)
	}
	until(t, "rebuild", everywhere(func(m modelset.Status) bool { return m.Building == nil && m.Serving.Position >= end }))
	if err := clitest.Tool(t, b, &result, "model", "verify"); err != nil || !result.Equal {
		t.Errorf("got %+v, %v from verify after a rebuild, want an equal model", result, err)
	}
	whole := func() (r report, err error) { return r, clitest.Tool(t, b, &r, "verify", "--wait", "5s") }
	if r, err := whole(); err != nil || !r.Equal || len(r.Models) != 1 || r.Models[0].Result != "equal" || len(r.Models[0].Digests) != 2 {
		t.Errorf("got %+v, %v from verify of the nodes, want an equal model of two nodes", r, err)
	}
	damage(t, filepath.Join(running[1].DataDir, "models"))
	if r, err := whole(); !errors.Is(err, process.ErrReported) || r.Equal || len(r.Models) != 1 || r.Models[0].Result != "different" || !strings.Contains(strings.Join(r.Differences, "\n"), "the read model m is not the same on all nodes: the rows differ at the same event") {
		t.Errorf("got %+v, %v from verify of the nodes, want a difference", r, err)
	}
	if err := clitest.Tool(t, b, &done, "model", "rebuild", "other"); !errors.Is(err, process.ErrReported) {
		t.Errorf("got %v for an unknown model, want %v", err, process.ErrReported)
	}
}
