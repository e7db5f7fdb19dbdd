package support_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

type dumped struct {
	File           string
	Nodes, Missing []string
}

// contents returns the files of an archive.
func contents(t *testing.T, name string) map[string]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(h.Name, "clusterlite-support/")] = string(b)
	}
}

func TestADumpOfACluster(t *testing.T) {
	b := servicetest.StartBroker(t)
	_, stops := clitest.StartNodes(t, b, 3, "query-1", "query-2")
	name := filepath.Join(t.TempDir(), "bundle.tar.gz")
	var d dumped
	if err := clitest.Tool(t, b, &d, "support", "dump", "--file="+name); err != nil || len(d.Missing) > 0 || strings.Join(d.Nodes, " ") != "query-1 query-2" {
		t.Fatalf("got %+v, %v, want both nodes and nothing missing", d, err)
	}
	all := contents(t, name)
	for file, word := range map[string]string{
		"README.txt": "Everything", "cluster/status.txt": "query-2", "cluster/status.json": `"query-1"`, "cluster/topic.json": `"end": 3`,
		"nodes/query-1/status.json": `"position": 3`, "nodes/query-1/ready.json": "true", "nodes/query-1/settings.json": "CLUSTERLITE_READY_LAG",
		"nodes/query-2/metrics.txt": "clusterlite_position 3", "nodes/query-2/log.txt": "listening", "nodes/query-2/goroutines.txt": "goroutine profile",
		"nodes/query-2/voids.json": "",
	} {
		if text, there := all[file]; !there || !strings.Contains(text, word) {
			t.Errorf("%s: got %q, %t, want it to contain %q", file, text, there, word)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a file that only its owner can read", info, err)
	}
	if err := clitest.Tool(t, b, &d, "support", "dump", "--file="+name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want that the file exists", err)
	}

	// A node that left is not asked, and one at an address where none answers is noted.
	if err := stops[1](); err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), "bundle.tar.gz")
	if err := clitest.Tool(t, b, &d, "support", "dump", "--file="+name, "--admin=127.0.0.1:1"); err != nil || len(d.Nodes) != 1 || len(d.Missing) != 1 || !strings.Contains(d.Missing[0], "127.0.0.1:1") {
		t.Errorf("got %+v, %v, want one node, and a note about the address", d, err)
	}
	if text := contents(t, name)["README.txt"]; !strings.Contains(text, "missing: node 127.0.0.1-1") {
		t.Errorf("got %q, want the missing node", text)
	}
}

// Without a broker, the nodes at the addresses are still asked.
func TestADumpWithoutABroker(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := clitest.StartNodes(t, b, 1, "query-1")
	name := filepath.Join(t.TempDir(), "bundle.tar.gz")
	var d dumped
	err := clitest.ToolAlone(t, &d, "support", "dump", "--kafka-brokers=127.0.0.1:1", "--admin="+running[0].Admin.String(), "--file="+name)
	if err != nil || len(d.Nodes) != 1 || d.Nodes[0] != "query-1" || len(d.Missing) == 0 {
		t.Fatalf("got %+v, %v, want query-1, and a note about the broker", d, err)
	}
	if all := contents(t, name); all["nodes/query-1/log.txt"] == "" || !strings.Contains(all["README.txt"], "topic") {
		t.Errorf("got the files %v, want the node's log and a note about the topic", all)
	}
	left, err := filepath.Glob(name + ".partial-*")
	if err != nil || len(left) > 0 {
		t.Errorf("got %v, %v, want no temporary file", left, err)
	}
}

// The JSON files that the tool itself writes have names in snake_case, as those of the nodes have.
func TestNamesInADump(t *testing.T) {
	b := servicetest.StartBroker(t)
	clitest.StartNodes(t, b, 1, "query-1")
	name := filepath.Join(t.TempDir(), "bundle.tar.gz")
	if err := clitest.Tool(t, b, new(dumped), "support", "dump", "--file="+name); err != nil {
		t.Fatal(err)
	}
	all := contents(t, name)
	for _, file := range []string{"cluster/topic.json", "cluster/status.json"} {
		if got := regexp.MustCompile(`"\w*[A-Z]\w*":`).FindAllString(all[file], -1); len(got) > 0 {
			t.Errorf("%s: got the names %v, want names in snake_case", file, got)
		}
		if !strings.Contains(all[file], `"addr": "`+b.Addr()+`"`) {
			t.Errorf("%s: got %s, want the address of the broker, %s", file, all[file], b.Addr())
		}
	}
}
