package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

const howTo = "../docs/how-to"

// TestRunbooks runs the marked blocks of the how-to guides in one shell, as an operator would.
func TestRunbooks(t *testing.T) {
	var script string
	for _, page := range runbookPages {
		script += marked(t, filepath.Join(howTo, page), "runbook")
	}
	from, to := cluster.Serve(t), cluster.Serve(t)
	peer := from.AddQuery()
	peer.Start()
	peer.AwaitReady()
	importUsers(t, from.URL, 100)
	before := from.Server.Status()

	dir := t.TempDir()
	for document, here := range map[string]string{
		"127.0.0.1:19092":           from.Brokers,
		"kafka-1:9092,kafka-2:9092": to.Brokers,
		"127.0.0.1:9082":            strings.TrimPrefix(peer.Admin, "http://"),
		"127.0.0.1:8083":            cluster.Address(t),
		"127.0.0.1:9083":            cluster.Address(t),
		"/var/lib/clusterlite":      filepath.Join(dir, "data"),
		"/backups":                  filepath.Join(dir, "backups"),
	} {
		if !strings.Contains(script, document) {
			t.Errorf("got no guide that contains %s", document)
		}
		script = strings.ReplaceAll(script, document, here)
	}
	out := runAll(t, dir, from.Tool(t, "clusterlite.events").Env, script)
	for said, times := range map[string]int{
		"Equal: 3 of 3 nodes":     3, // after the replacement, the upgrade, and the restore from the topic
		"Equal: 1 of 1 nodes":     2, // after the rebuild, and the restore after the loss of the topic
		"and gives the same rows": 1,
		"stored clusterlite-":     2, // from a running node, and from the folder of a stopped one
	} {
		if n := strings.Count(out, said); n != times {
			t.Errorf("got %q %d times in the output, want %d", said, n, times)
		}
	}
	if after := to.Server.Status(); after.Digests["users"] != before.Digests["users"] || after.Entities["users"] != 100 {
		t.Errorf("got %+v on the new cluster, want the state of the old one, %+v", after, before)
	}
	suite.Target{URL: to.URL}.Create(t, "after the move")
	if t.Failed() {
		t.Log(out)
	}
}

// TestRunbookOfADamagedLog damages the log of a killed process, and runs the block of the guide
// that recovers the state from the read model.
func TestRunbookOfADamagedLog(t *testing.T) {
	c := cluster.Serve(t)
	importUsers(t, c.URL, 100)
	before := c.Server.Status()
	c.Server.Kill()
	log := filepath.Join(c.Server.DataDir(), "broker", "partitions", "clusterlite.events-0", "0.dat")
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	content[100] ^= 0xff
	if err := os.WriteFile(log, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, c.Server, "the embedded broker's log is damaged", log)

	script := marked(t, filepath.Join(howTo, "recover-a-damaged-embedded-log.md"), "runbook of a damaged log")
	for document, here := range map[string]string{
		"/var/lib/clusterlite": c.Server.DataDir(), "127.0.0.1:8080": strings.TrimPrefix(c.URL, "http://"), "127.0.0.1:19092": c.Brokers,
	} {
		if !strings.Contains(script, document) {
			t.Errorf("got a guide without %s", document)
		}
		script = strings.ReplaceAll(script, document, here)
	}
	env := append(os.Environ(), "CLUSTERLITE_NODE_ID=all-1", "CLUSTERLITE_KAFKA_LISTEN="+c.Brokers,
		"CLUSTERLITE_ADMIN_ADDR="+strings.TrimPrefix(c.Server.Admin, "http://"), "CLUSTERLITE_COLLECTIONS="+filepath.Join(cluster.Root(t), "examples"))
	if out := runAll(t, t.TempDir(), env, script); !strings.Contains(out, "and gives the same rows") {
		t.Errorf("got %s\nwant it to say that the log gives the same rows", out)
	}
	// The process that the block started has the address of the old one.
	if after := c.Server.Status(); after.Digests["users"] != before.Digests["users"] || after.Entities["users"] != 100 {
		t.Errorf("got %+v, want the earlier state, %+v", after, before)
	}
}

// runbookPages are the pages with blocks marked "runbook", in the order in which their blocks
// run. Each page uses the cluster in the state that the page before left.
var runbookPages = []string{
	"issue-api-keys.md",
	"back-up-with-snapshots.md",
	"add-or-remove-a-node.md",
	"replace-a-node.md",
	"rebuild-a-node.md",
	"restart-without-failures.md",
	"upgrade.md",
	"move-to-another-cluster.md",
	"restore-from-the-topic.md",
	"restore-after-log-loss.md",
}

// marked returns the sh blocks of a page that follow the mark, in the order of the page.
func marked(t *testing.T, page, mark string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	blocks := regexp.MustCompile("(?ms)^( *)<!-- "+mark+" -->\n *```sh\n(.*?)^ *```$").FindAllSubmatch(text, -1)
	if n := strings.Count(string(text), "<!-- "+mark+" -->"); len(blocks) != n || n == 0 {
		t.Fatalf("%s: got %d blocks after %d marks %q, want as many and at least one", page, len(blocks), n, mark)
	}
	for _, m := range blocks {
		_, _ = script.Write(m[2]) // writes to a builder never fail
	}
	return script.String()
}

// TestRunbooks runs every page with a runbook block.
func TestEveryRunbookRuns(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(howTo, "*.md"))
	if err != nil || len(pages) < len(runbookPages) {
		t.Fatalf("got %d pages, %v; want at least %d", len(pages), err, len(runbookPages))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "<!-- runbook -->") && !slices.Contains(runbookPages, filepath.Base(page)) {
			t.Errorf("%s: got blocks that no test runs: add it to runbookPages", page)
		}
	}
}

// runAll runs a script, which may leave processes behind, and returns its whole output.
func runAll(t *testing.T, dir string, env []string, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(env, "PATH="+filepath.Dir(cluster.Binary(t, "clusterlite"))+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	output, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	cmd.Stdout, cmd.Stderr = output, output // a file, so that remaining processes hold no pipe open
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // the remaining processes of the group
	failed := cmd.Wait()
	out, err := os.ReadFile(output.Name())
	if err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatalf("run the script: %v\n%s", failed, bytes.ToValidUTF8(out, nil))
	}
	return string(out)
}
