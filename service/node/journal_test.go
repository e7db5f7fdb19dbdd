package node_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// Verify reads the journal too, and reports a byte that was changed on the disk.
func TestVerifyReadsTheJournal(t *testing.T) {
	b := servicetest.StartBroker(t)
	n, _ := servicetest.StartNode(t, b, "a")
	end, err := n.Log.Append(servicetest.Context(t), created(uuid.NewString()), created(uuid.NewString()))
	if err == nil {
		err = n.Model.WaitFor(servicetest.Context(t), end)
	}
	if err != nil {
		t.Fatal(err)
	}
	last := func() (line node.VerifyLine) {
		ask(t, n, "/verify", 200, &line)
		return line
	}
	if line := last(); line.Audit == nil || line.Audit.Journal != "" || line.Failed != nil {
		t.Fatalf("got %+v, want an audit", line)
	}
	files, err := filepath.Glob(filepath.Join(n.DataDir, "*-events", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v, want the file of the journal", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{content[len(content)/2] ^ 1}, int64(len(content)/2))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if line := last(); line.Audit == nil || !strings.Contains(line.Audit.Journal, "journal") {
		t.Errorf("after a change: got %+v, want the damage of the journal", line)
	}
}

// Every node keeps a journal, unless the setting says otherwise.
func TestWhoKeepsAJournal(t *testing.T) {
	b := servicetest.StartBroker(t)
	for i, c := range []struct {
		role, journal string
		want          bool
	}{
		{"query", "on", true}, {"command", "on", true}, {"all", "on", true}, {"query", "query", true}, {"command", "query", false}, {"all", "query", true},
		{"command", "all", true}, {"query", "all", true}, {"query", "off", false}, {"command", "off", false},
	} {
		ready, stop := servicetest.RunNode(t, b, fmt.Sprint("n", i), func(config *node.Config) { config.Role, config.Journal = c.role, c.journal })
		select {
		case n := <-ready:
			_, release, err := n.Model.Journal()
			if err == nil {
				release()
			}
			if (err == nil) != c.want {
				t.Errorf("%s with %s: got %v, want a journal: %t", c.role, c.journal, err, c.want)
			}
		case <-servicetest.Context(t).Done():
			t.Fatal("got no readiness in time, want it")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}
