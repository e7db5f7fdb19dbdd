package models_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A modelled node serves the model m, and can be restarted.
type modelled struct {
	t      *testing.T
	broker *servicetest.Broker
	folder string
	dir    string
	node   *node.Node
	stop   func() error
}

func newModelled(t *testing.T, text string) *modelled {
	t.Helper()
	m := &modelled{t: t, broker: servicetest.StartBroker(t), folder: t.TempDir(), dir: t.TempDir()}
	m.define(text)
	m.start()
	return m
}

// define replaces the file of the model.
func (m *modelled) define(text string) {
	m.t.Helper()
	path := filepath.Join(m.folder, "m.sql")
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *modelled) start() {
	m.t.Helper()
	ready, stop := servicetest.RunNode(m.t, m.broker, "one", func(c *node.Config) { c.ModelsDir, c.Journal, c.DataDir = m.folder, "on", m.dir })
	select {
	case m.node = <-ready:
		m.stop = stop
	case <-servicetest.Context(m.t).Done():
		m.t.Fatal("got no readiness in time, want it")
	}
	until(m.t, "announcement", func() bool { return len(m.lists()) == 1 })
}

func (m *modelled) lists() []modelset.Status {
	var all lists
	if clitest.Tool(m.t, m.broker, &all, "model", "list") != nil || len(all.Nodes) != 1 {
		return nil
	}
	return all.Nodes[0].Models
}

// until waits until the model has a status.
func (m *modelled) until(what string, is func(modelset.Status) bool) {
	m.t.Helper()
	until(m.t, what, func() bool {
		all := m.lists()
		return len(all) == 1 && all[0].Serving != nil && is(all[0])
	})
}

// run runs model with arguments.
func (m *modelled) run(args ...string) error {
	m.t.Helper()
	var said json.RawMessage
	return clitest.Tool(m.t, m.broker, &said, append([]string{"model"}, args...)...)
}

// text returns what model list prints.
func (m *modelled) text() string {
	m.t.Helper()
	var said bytes.Buffer
	if err := cli.Run(servicetest.Context(m.t), []string{"model", "list", "--kafka-brokers=" + m.broker.Addr()}, &said, io.Discard); err != nil {
		m.t.Fatal(err)
	}
	return said.String()
}

const checked = `CREATE TABLE t (id TEXT, name TEXT CHECK (name <> 'bad'));
-- on: users.created
INSERT INTO t VALUES (:id, :document ->> 'name');`

// TestABuildIsShownAndCancelled checks that the model that serves stays while a changed file is built, when
// that build stops, and when it is cancelled.
func TestABuildIsShownAndCancelled(t *testing.T) {
	m := newModelled(t, checked)
	var failing, end events.Position
	for i := range 20 {
		end = appendUser(t, m.node, "n"+strconv.Itoa(i))
		if i == 3 {
			failing = end
		}
	}
	m.until("build", func(s modelset.Status) bool { return s.Serving.Position >= end })
	if err := m.run("rebuild", "m", "--cancel"); !errors.Is(err, process.ErrReported) {
		t.Errorf("got %v from --cancel without a build, want %v", err, process.ErrReported)
	}

	m.define(strings.Replace(checked, "'bad'", "'n3'", 1))
	m.until("stop of the build", func(s modelset.Status) bool {
		return s.Building != nil && s.Building.Stopped != nil && s.Building.Stopped.Position == failing
	})
	end = appendUser(t, m.node, "another")
	m.until("next event in what serves", func(s modelset.Status) bool {
		return s.Serving.State == modelset.Following && s.Serving.Position >= end
	})
	for _, want := range []string{
		"stopped at " + strconv.Itoa(int(failing-1)) + " of ", "m on one has stopped at the event at position " + strconv.Itoa(int(failing)) + ": users.created", "m.sql:3: CHECK constraint failed",
	} {
		if got := m.text(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", got, want)
		}
	}
	if err := m.run("rebuild", "m", "--cancel"); err != nil {
		t.Errorf("got %v from --cancel, want no error", err)
	}
	m.until("end of the build", func(s modelset.Status) bool { return s.Building == nil })
	end = appendUser(t, m.node, "one more")
	m.until("next event after that", func(s modelset.Status) bool {
		return s.Building == nil && s.Serving.State == modelset.Following && s.Serving.Position >= end
	})
	if files, err := filepath.Glob(filepath.Join(m.dir, "models", "m.*.db")); err != nil || len(files) != 1 {
		t.Errorf("got files %v, %v, want the one that serves", files, err)
	}
}

// TestASkipIsShownForEver checks that a skip outlives a restart, a build of the same file, and a rebuild of
// the node.
func TestASkipIsShownForEver(t *testing.T) {
	m := newModelled(t, checked)
	appendUser(t, m.node, "good")
	bad := appendUser(t, m.node, "bad")
	m.until("stop", func(s modelset.Status) bool { return s.Serving.Stopped != nil })
	if err := m.run("skip", "m", "--position", strconv.Itoa(int(bad))); err != nil {
		t.Fatal(err)
	}
	shown := func(after string) {
		t.Helper()
		end := appendUser(t, m.node, after)
		m.until("end after "+after, func(s modelset.Status) bool {
			return s.Building == nil && s.Serving.State == modelset.Following && s.Serving.Position >= end
		})
		if s := m.lists()[0].Skips; len(s) != 1 || s[0].Position != bad || s[0].Collection != "users" || s[0].Type != "created" || !strings.Contains(s[0].Error, "CHECK") || s[0].At.IsZero() {
			t.Errorf("after %s: got skips %+v, want the one at position %d", after, s, bad)
		}
		if got, want := m.text(), "m on one skipped the event at position "+strconv.Itoa(int(bad)); !strings.Contains(got, want) {
			t.Errorf("after %s: got %s, want %q in it", after, got, want)
		}
	}
	shown("the skip")
	if err := m.run("rebuild", "m"); err != nil {
		t.Fatal(err)
	}
	shown("a build of the model")
	var result json.RawMessage
	if err := clitest.Tool(t, m.broker, &result, "rebuild", "--all"); err != nil {
		t.Fatalf("got %v: %s from rebuild, want no error", err, result)
	}
	shown("a rebuild of the node")
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	m.start()
	shown("a restart")
	// A changed file gets the event again. The skip of the earlier file is still shown.
	m.define(strings.Replace(checked, "name <> 'bad'", "length(name) > 0", 1))
	hash := m.lists()[0].Serving.Hash
	m.until("changed file", func(s modelset.Status) bool { return s.Serving.Hash != hash })
	shown("a change of the file")
}
