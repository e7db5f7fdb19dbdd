package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func (s *guidedStore) prepareKafka(t *testing.T) {
	g := guide(t, s.env, "prepare-kafka.md", "kafka-1:9092,kafka-2:9092,kafka-3:9092", s.Brokers)
	g.says(t, "clusterlite status", "clusterlite.events", "query-2")
	g.Complete(t)
}

func (s *guidedStore) verifyNodes(t *testing.T) {
	g := guide(t, s.env, "verify-nodes.md", "./clusterlite-data", s.Queries[1].DataDir())
	g.says(t, "clusterlite verify\n", "Equal: 3 of 3 nodes")
	g.says(t, "--deep", "Equal: 3 of 3 nodes")
	g.says(t, "--data-dir", "users")
	g.Complete(t)
}

func (s *guidedStore) lookAtHistory(t *testing.T) {
	store := suite.Target{URL: s.URL}
	ada := store.Create(t, "Ada")
	for _, name := range []string{"Ada L.", "Ada Lovelace"} {
		store.Do(t, "PATCH", "/users/"+ada.ID, `{"name":"`+name+`"}`, "Content-Type: application/merge-patch+json").Want(t, 200)
	}
	s.ada = ada.ID
	position := s.Server.Status().Position
	s.env = append(s.env, "ID="+ada.ID, "URL="+s.URL, "TOKEN=unused")
	g := guide(t, s.env, "look-at-history.md", "http://localhost:8080", s.URL, "2026-11-24T14:05:00Z", timeAfterNow(t), "1200", jsonOf(t, position))
	g.says(t, "URL=", `"Ada Lovelace"`, `"Ada"`)
	g.says(t, "$TOKEN", `"entityversion": "3"`)
	g.says(t, `"3"`, `"version":4`)
	store.Do(t, "DELETE", "/users/"+ada.ID, "").Want(t, 204)
	g.says(t, `"5"`, `"version":6`)
	g.Complete(t)
}

func (s *guidedStore) followChanges(t *testing.T) {
	g := guide(t, s.env, "follow-changes.md", "http://localhost:8080", s.URL)
	g.says(t, "URL=", "Stream-Up-To-Date: true")
	g.Complete(t)
}

func (s *guidedStore) inspectTheLog(t *testing.T) {
	g := guide(t, s.env, "inspect-the-log.md", "2026-11-24T14:00:00Z", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "2026-11-24T14:10:00Z", timeAfterNow(t),
		"0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", s.ada, "events show 1000", "events show 2")
	g.says(t, "--until", s.ada)
	g.says(t, "--type deleted", s.ada)
	g.says(t, "--id", "users.created", "users.deleted")
	g.run(t, "--actor")
	// The reader follows the log until it is stopped.
	out := filepath.Join(t.TempDir(), "lines")
	g.in(t, filepath.Dir(out), "", "jq", " >"+out+" &\n"+
		"until [ -s "+out+" ]; do curl -fsS -o /dev/null -H 'Content-Type: application/json' -d \"{\\\"name\\\":\\\"Eve\\\",\\\"email\\\":\\\"$RANDOM$RANDOM@example.com\\\"}\" $URL/users; sleep 0.2; done\n")
	g.says(t, "events show", "users.")
	g.Complete(t)
}

func (s *guidedStore) replay(t *testing.T) {
	g := guide(t, s.env, "replay-to-a-point-in-time.md", "--until 1000", "--until 10", "2026-11-24T14:05:00Z", timeAfterNow(t))
	g.says(t, "f.db", "Ada|")
	g.says(t, "g.db", "Ada|")
	g.Complete(t)
}

func (s *guidedStore) profile(t *testing.T) {
	g := guide(t, s.env, "profile-a-node.md", "127.0.0.1:9082", admin(s.Queries[1]), "seconds=30", "seconds=1", "seconds=5", "seconds=1")
	g.says(t, "cpu.pprof", "Type: cpu")
	g.in(t, t.TempDir(), "", "goroutines.txt", "\ngrep -q '^goroutine ' goroutines.txt\n")
	// go tool trace serves a page until it is stopped, so only the file is checked.
	g.in(t, t.TempDir(), `go() { [ "$2" = trace ] && [ -s "$3" ]; }`, "trace.out", "\n")
	g.Complete(t)
}

func (s *guidedStore) trace(t *testing.T) {
	spans := make(chan struct{}, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			select {
			case spans <- struct{}{}:
			default:
			}
		}
	}))
	t.Cleanup(collector.Close)
	api := cluster.Address(t)
	g := guide(t, append(s.env, s.service(t, "command-9", api)...), "trace-requests.md",
		"http://collector:4318", collector.URL, "SAMPLER_ARG=0.01", "SAMPLER_ARG=1")
	g.in(t, t.TempDir(), "", "OTEL_EXPORTER_OTLP_ENDPOINT", " &\n"+
		"until clusterlite-command healthcheck; do sleep 0.1; done\ncurl -sS -o /dev/null -d '{}' http://"+api+"/users\n"+
		"kill -TERM $!; wait $!\n") // it sends its last spans when it stops
	select {
	case <-spans:
	default:
		t.Error("got no spans, want those of a request")
	}
	g.Complete(t)
}

// service returns the variables of a service with a folder and addresses of its own.
func (s *guidedStore) service(t *testing.T, node, api string) []string {
	t.Helper()
	return []string{"CLUSTERLITE_NODE_ID=" + node, "CLUSTERLITE_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "CLUSTERLITE_HTTP_ADDR=" + api, "CLUSTERLITE_ADMIN_ADDR=" + cluster.Address(t)}
}

func (s *guidedStore) size(t *testing.T) {
	g := guide(t, s.env, "size-a-node.md", "localhost:9082", admin(s.Queries[1]))
	settings := map[string]string{}
	g.Settings(t, settings, "CLUSTERLITE_REQUEST_MEMORY")
	if len(settings) != 3 {
		t.Errorf("got %v, want three settings", settings)
	}
	p := cluster.QueryOf(t, s.Brokers, settings)
	p.Start()
	p.AwaitReady()
	if code := p.Stop(); code != 0 {
		t.Errorf("got exit code %d with the settings of a small node, want 0", code)
	}
	g.says(t, "gomemlimit", "go_gc_gomemlimit_bytes ")
	g.says(t, "max)_fds", "process_open_fds ", "process_max_fds ")
	g.Complete(t)
}

func (s *guidedStore) backUp(t *testing.T) {
	dir := t.TempDir()
	backups, metrics := filepath.Join(dir, "backups"), cluster.Address(t)
	g := guide(t, append(s.env, s.service(t, "query-9", cluster.Address(t))...), "back-up-with-snapshots.md",
		"s3://backups?region=eu-west-1'", backups+"'", "/backups", backups, "127.0.0.1:9084", metrics,
		"10.0.0.7:9082", admin(s.Server), "/var/lib/clusterlite", filepath.Join(dir, "data"))
	g.in(t, dir, "", "--schedule", " &\n"+
		"until curl -fsS http://"+metrics+"/readyz && [ -n \"$(ls "+backups+" 2>/dev/null)\" ]; do sleep 0.1; done\nkill -TERM $!; wait $!\n")
	g.says(t, "verify", "can be restored")
	const stop = `until clusterlite-query healthcheck; do sleep 0.1; done
kill -TERM "$(sed -E 's/.*"pid":([0-9]+).*/\1/' $CLUSTERLITE_DATA_DIR/lock)"; flock $CLUSTERLITE_DATA_DIR/lock true
`
	g.in(t, dir, "", "clusterlite-query --bootstrap 'http", " &\n"+stop)
	g.run(t, "snapshot restore")
	g.says(t, "snapshot create", "stored clusterlite-")
	g.in(t, dir, "rm -r $CLUSTERLITE_DATA_DIR", "time (", "\n"+stop)
	g.Complete(t)
}

func (s *guidedStore) repair(t *testing.T) {
	query := s.Queries[1]
	g := guide(t, s.env, "handle-a-damaged-projection.md", "/var/lib/clusterlite/query-2", query.DataDir())
	g.run(t, "--node query-2")
	query.Stop()
	g.run(t, "--data-dir")
	query.Start()
	query.AwaitReady()
	s.awaitNodes(t, "all-1", "query-2", "query-3")
	g.Complete(t)
}

func (s *guidedStore) removeNodes(t *testing.T) {
	query := s.Queries[1]
	g := guide(t, append(s.env, "CLUSTERLITE_DATA_DIR="+query.DataDir()), "add-or-remove-a-node.md")
	g.run(t, "kill -TERM")
	if code := query.AwaitExit(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	s.Queries[2].Kill()
	g.says(t, "clusterlite nodes\n", "query-3")
	g.run(t, "forget query-3")
	g.run(t, "forget --left")
	if out, _, _ := tool(t, s.Cluster, "nodes", "--all"); strings.Contains(out, "query-") {
		t.Errorf("got the nodes\n%s\nwant none that left or died", out)
	}
	g.Complete(t)
	query.Start()
	query.AwaitReady()
	s.awaitNodes(t, "all-1", "query-2")
}

func (s *guidedStore) troubleshoot(t *testing.T) {
	g := guide(t, s.env, "troubleshoot.md", "query:9082,command:9081", admin(s.Queries[1])+","+admin(s.Server), "clusterlite-data/", s.Queries[1].DataDir()+"/")
	g.says(t, "clusterlite status\n", "query-2", "ready")
	g.says(t, "sqlite3", "Ada|")
	g.says(t, "voids", "void records")
	g.in(t, t.TempDir(), "", "--file bundle.tar.gz\n", "\ntar -tzf bundle.tar.gz | grep query-2\n")
	g.env = append(g.env, "CLUSTERLITE_KAFKA_BROKERS="+cluster.Address(t)) // no broker answers there
	out := g.in(t, t.TempDir(), "set +e", "status --admin", "\necho status $?\n")
	if !strings.Contains(out, "query-2") || !strings.Contains(out, "\nstatus 1\n") {
		t.Errorf("got\n%s\nwant query-2 and exit status 1, because no broker answers", out)
	}
	g.in(t, t.TempDir(), "", "--file bundle.tar.gz --admin", "\ntar -tzf bundle.tar.gz | grep query-2\n")
	g.Complete(t)
}

func (s *guidedStore) recoverLog(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	s.Queries[1].Stop()
	serving := append(s.env, "CLUSTERLITE_NODE_ID=all-1", "CLUSTERLITE_KAFKA_LISTEN="+s.Brokers, "CLUSTERLITE_COLLECTIONS="+filepath.Join(cluster.Root(t), "examples"),
		"CLUSTERLITE_HTTP_ADDR="+strings.TrimPrefix(s.URL, "http://"), "CLUSTERLITE_ADMIN_ADDR="+admin(s.Server))
	g := guide(t, serving, "recover-a-damaged-embedded-log.md", "/var/lib/clusterlite", data, "/backup/broker", filepath.Join(dir, "backup"))
	g.run(t, "snapshot create")
	s.Server.Stop()
	if out, err := exec.Command("cp", "-a", s.Server.DataDir(), data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g.in(t, dir, "dmesg >/dev/null 2>&1 || dmesg() { :; }", "dmesg", "\n") // without root, some systems allow it and others do not
	if out, err := exec.Command("cp", "-a", filepath.Join(data, "broker"), filepath.Join(dir, "backup")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g.in(t, dir, "", "cp -a "+dir+"/backup", " &\nuntil clusterlite healthcheck; do sleep 0.1; done\nkill -TERM $!; wait $!\n")
	g.Complete(t)
}

func (s *guidedStore) restoreServe(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("cp", "-a", s.Server.DataDir(), filepath.Join(dir, "clusterlite-data")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	env := append(s.env, "CLUSTERLITE_KAFKA_LISTEN="+cluster.Address(t), "CLUSTERLITE_COLLECTIONS="+filepath.Join(cluster.Root(t), "examples"),
		"CLUSTERLITE_HTTP_ADDR="+cluster.Address(t), "CLUSTERLITE_ADMIN_ADDR="+cluster.Address(t))
	g := guide(t, env, "restore-after-log-loss.md", "/backups", filepath.Join(dir, "backups"))
	out := g.in(t, dir, "", "broker.lost", " &\nuntil clusterlite healthcheck; do sleep 0.1; done\n"+
		"curl -fsS http://$CLUSTERLITE_HTTP_ADDR/users/$ID\nkill -TERM $!; wait $!\n")
	if !strings.Contains(out, s.ada) {
		t.Errorf("got\n%s\nwant the entity %s", out, s.ada)
	}
	g.Complete(t)
}

// timeAfterNow waits for the next full second and returns it. The result is in the past, and later than
// everything that happened before the call.
func timeAfterNow(t *testing.T) string {
	t.Helper()
	next := time.Now().Truncate(time.Second).Add(time.Second)
	time.Sleep(time.Until(next))
	return next.UTC().Format(time.RFC3339)
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
