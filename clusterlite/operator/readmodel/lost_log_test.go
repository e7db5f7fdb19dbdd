package readmodel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/cluster/comparison"
	"github.com/clusterlite/clusterlite/clusterlite/operator/readmodel"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// served runs a clusterlite serve on a folder while use runs, and passes the address of the API
// to use.
func served(t *testing.T, dir string, use func(url string)) {
	t.Helper()
	ctx, stop := context.WithCancel(servicetest.Context(t))
	defer stop()
	out := clitest.NewGreeting()
	ran := make(chan error, 1)
	go func() { ran <- cli.Run(ctx, clitest.ServeArgs(dir), out, io.Discard) }()
	select {
	case <-out.Done:
	case err := <-ran:
		t.Fatalf("clusterlite serve ended: %v", err)
	}
	_, rest, _ := strings.Cut(out.String(), "http://")
	address, _, _ := strings.Cut(rest, "\n")
	use("http://" + address)
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

func post(t *testing.T, url, document string) {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: got %s, want 201", url, r.Status)
	}
}

func list(t *testing.T, url string) string {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got %s, %v, want 200", url, r.Status, err)
	}
	return string(b)
}

// prepareIn creates the topic in the folder of a stopped broker.
func prepareIn(t *testing.T, dir string) {
	t.Helper()
	b, err := embedded.Start(dir, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	log, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "clusterlite.events"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Prepare(servicetest.Context(t))
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
}

// The test runs the complete recovery of an all-in-one store that lost its log but not its read
// model.
func TestALostLogIsRecreatedFromTheFolder(t *testing.T) {
	dir, store := t.TempDir(), filepath.Join(t.TempDir(), "store")
	var before string
	served(t, dir, func(url string) {
		for _, name := range []string{"Ada", "Bob", "Eve"} {
			post(t, url+"/users", `{"name":"`+name+`","email":"`+name+`@example.com"}`)
		}
		before = list(t, url+"/users")
	})
	if err := os.RemoveAll(subcommand.BrokerDir(dir)); err != nil {
		t.Fatal(err)
	}

	// The store refuses to start, and says what to do.
	err := cli.Run(servicetest.Context(t), clitest.ServeArgs(dir), io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "other-topic") || !strings.Contains(err.Error(), "snapshot create STORE --data-dir") {
		t.Fatalf("got %v, want a refusal that names snapshot create", err)
	}
	// It must not have created an empty topic in place of the lost one.
	files := clitest.Files(t, dir)
	err = cli.Run(servicetest.Context(t), []string{"rebuild", "--data-dir=" + dir}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "topic clusterlite.events does not exist") || !strings.Contains(err.Error(), "snapshot create STORE --data-dir") {
		t.Fatalf("got %v, want an error that names snapshot create", err)
	}
	// If the topic was recreated, a rebuild would produce an empty store, and is rejected.
	prepareIn(t, subcommand.BrokerDir(dir))
	var lost *datafolder.LossError
	err = cli.Run(servicetest.Context(t), []string{"rebuild", "--data-dir=" + dir}, io.Discard, io.Discard)
	if !errors.As(err, &lost) || lost.Missing["users"] != 3 || !strings.Contains(err.Error(), "3 of the 3 entities") || !strings.Contains(err.Error(), "--force") {
		t.Fatalf("got %v, want a refusal that counts 3 entities", err)
	}
	for path, was := range clitest.Files(t, dir) {
		if strings.HasPrefix(filepath.Base(path), "projection") && files[path] != was {
			t.Errorf("got a changed %s, want it unchanged", path)
		}
	}
	if err := os.RemoveAll(subcommand.BrokerDir(dir)); err != nil {
		t.Fatal(err)
	}

	// Creating a snapshot needs no broker and changes nothing in the folder.
	files = clitest.Files(t, dir)
	var made readmodel.Stored
	if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+dir); err != nil {
		t.Fatal(err)
	}
	clitest.WantSameFiles(t, files, clitest.Files(t, dir))
	if m := made.Manifest; m.Entities["users"] != 3 || m.Topic != "clusterlite.events" || m.TopicID == "" || len(m.SHA256) != 64 || !strings.HasSuffix(m.Node, dir) {
		t.Errorf("got manifest %+v, want that of the folder with 3 users", m)
	}
	var appended readmodel.Appended
	if err := clitest.ToolAlone(t, &appended, "snapshot", "append", store, "--data-dir="+dir); err != nil || appended.Events != 3 || len(appended.Differs) > 0 {
		t.Fatalf("append: got %+v, %v, want 3 events and no difference", appended, err)
	}
	var rebuilt readmodel.RebuiltFolder
	if err := clitest.ToolAlone(t, &rebuilt, "rebuild", "--data-dir="+dir); err != nil || rebuilt.Entities["users"] != 3 || len(rebuilt.Missing) > 0 {
		t.Fatalf("rebuild: got %+v, %v, want 3 users and none missing", rebuilt, err)
	}
	served(t, dir, func(url string) {
		if after := list(t, url+"/users"); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
		post(t, url+"/users", `{"name":"Zoe","email":"Zoe@example.com"}`)
	})
}

// A forced rebuild keeps the full file, and the next rebuild does not remove it.
func TestAForcedRebuildKeepsTheFullFile(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := clitest.StartNodes(t, b, 10, "query-1")
	dir := running[0].DataDir
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"other", "yet.another"} {
		log, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: other})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Prepare(servicetest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var result readmodel.RebuiltFolder
	var lost *datafolder.LossError
	if err := clitest.Tool(t, b, &result, "rebuild", "--data-dir="+dir, "--kafka-topic=other"); !errors.As(err, &lost) {
		t.Fatalf("got %v, want a LossError", err)
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--data-dir="+dir, "--kafka-topic=other", "--force"); err != nil || result.Missing["users"] != 10 || result.Kept == "" {
		t.Fatalf("forced: got %+v, %v, want 10 missing users and the kept file", result, err)
	}
	for _, more := range [][]string{nil, {"--force"}} {
		args := append([]string{"rebuild", "--data-dir=" + dir, "--kafka-topic=yet.another"}, more...)
		if err := clitest.Tool(t, b, &result, args...); err != nil {
			t.Fatalf("%v: got %v, want success", args, err)
		}
		kept, err := offline.Inspect(t.Context(), filepath.Join(dir, datafolder.PreviousName))
		if err != nil || kept.Collections["users"].Living != 10 {
			t.Errorf("%v: the kept file holds %+v, %v, want 10 users", args, kept, err)
		}
	}
}

// A restore does not silently replace a folder that has additional entities.
func TestRestoreOverAFullerFolder(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := clitest.StartNodes(t, b, 3, "query-1")
	n, store := running[0], filepath.Join(t.TempDir(), "store")
	var made readmodel.Stored
	if err := clitest.Tool(t, b, &made, "snapshot", "create", store); err != nil {
		t.Fatal(err)
	}
	end := clitest.AppendUsers(t, n.Log, 2)
	if err := n.Model.WaitFor(servicetest.Context(t), end); err != nil {
		t.Fatal(err)
	}
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	var r readmodel.Restored
	var lost *datafolder.LossError
	if err := clitest.ToolAlone(t, &r, "snapshot", "restore", store, "--data-dir="+n.DataDir); !errors.As(err, &lost) || lost.Missing["users"] != 2 || lost.Living != 5 {
		t.Fatalf("got %v, want a LossError of 2 of 5 users", err)
	}
	if err := clitest.ToolAlone(t, &r, "snapshot", "restore", store, "--data-dir="+n.DataDir, "--force"); err != nil || r.Kept == "" {
		t.Fatalf("got %+v, %v, want a kept file", r, err)
	}
	for name, want := range map[string]int64{datafolder.FileName: 3, datafolder.PreviousName: 5} {
		if built, err := offline.Inspect(t.Context(), filepath.Join(n.DataDir, name)); err != nil || built.Collections["users"].Living != want {
			t.Errorf("%s holds %+v, %v, want %d users", name, built, err, want)
		}
	}
}

// A damaged file must not be stored as a valid snapshot.
func TestASnapshotOfADamagedFolderIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"a changed row": func(t *testing.T, dir string) {
			spoil(t, dir, `UPDATE users SET doc = '{"name":"Mallory"}' WHERE id = (SELECT max(id) FROM users)`)
		},
		"a missing row": func(t *testing.T, dir string) {
			spoil(t, dir, `DELETE FROM users WHERE id = (SELECT max(id) FROM users)`)
		},
		"a claim too few": func(t *testing.T, dir string) { spoil(t, dir, `INSERT INTO _claims VALUES ('users', 'x:1', 'y')`) },
		"a damaged page": func(t *testing.T, dir string) {
			path, err := filepath.EvalSymlinks(filepath.Join(dir, datafolder.FileName))
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := len(b) / 2; i < len(b)/2+8192; i++ {
				b[i] ^= 0x5a
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"no database": func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, datafolder.FileName), bytes.Repeat([]byte("text "), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := servicetest.StartBroker(t)
			running, stops := clitest.StartNodes(t, b, 1000, "query-1")
			dir, store := running[0].DataDir, filepath.Join(t.TempDir(), "store")
			if err := stops[0](); err != nil {
				t.Fatal(err)
			}
			spoil(t, dir)
			before := clitest.Files(t, dir)
			var made readmodel.Stored
			var damaged *offline.DamagedError
			if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+dir); !errors.As(err, &damaged) {
				t.Fatalf("got %v, want a DamagedError", err)
			}
			clitest.WantSameFiles(t, before, clitest.Files(t, dir))
			if left, err := os.ReadDir(store); err == nil {
				t.Errorf("got a new store with %v, want none", left)
			}
		})
	}
}

// A killed node has committed data that is not yet in the database file itself.
func TestASnapshotOfAFolderIncludesTheWAL(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := clitest.StartNodes(t, b, 20, "query-1")
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(running[0].DataDir)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(killed, "projection.1.db-wal")); err != nil || info.Size() == 0 {
		t.Fatalf("the test is invalid: %v", err)
	}
	var made readmodel.Stored
	store := t.TempDir()
	if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+killed); err != nil || made.Manifest.Entities["users"] != 20 {
		t.Errorf("got %+v, %v, want 20 users", made, err)
	}
	if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+running[0].DataDir); err == nil || !strings.Contains(err.Error(), "in use by node query-1") {
		t.Errorf("a running node: got %v, want an error that names the node", err)
	}
	clitest.CheckUsage(t, "snapshot", [][]string{{"create", store, "--node=a", "--data-dir=b"}})
}

// If a scheduled job stores a snapshot of a recreated, empty topic, that snapshot must not be
// preferred to a fuller one.
func TestAnEmptySnapshotIsNotTakenForTheNewest(t *testing.T) {
	full, store := servicetest.StartBroker(t), filepath.Join(t.TempDir(), "store")
	clitest.StartNodes(t, full, 3, "query-1")
	var made, empty readmodel.Stored
	if err := clitest.Tool(t, full, &made, "snapshot", "create", store); err != nil {
		t.Fatal(err)
	}
	again := servicetest.StartBroker(t)
	clitest.StartNodes(t, again, 0, "query-1")
	if err := clitest.Tool(t, again, &empty, "snapshot", "create", store); err != nil {
		t.Fatal(err)
	}
	// The order of snapshots follows from their modification times, which two of them may
	// share.
	target := servicetest.StartBroker(t)
	var a readmodel.Appended
	if err := clitest.Tool(t, target, &a, "snapshot", "append", store); err == nil || !strings.Contains(err.Error(), "has 3") || !strings.Contains(err.Error(), made.Name) {
		t.Errorf("append: got %v, want an error that names %s", err, made.Name)
	}
	var r readmodel.Restored
	dir := filepath.Join(t.TempDir(), "node")
	if err := clitest.ToolAlone(t, &r, "snapshot", "restore", store, "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), made.Name) {
		t.Errorf("restore: got %v, want an error that names %s", err, made.Name)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("got a new folder after a rejected restore, want none")
	}
	if err := clitest.Tool(t, target, &a, "snapshot", "append", store, "--name="+made.Name); err != nil || a.Events != 3 {
		t.Errorf("append by name: got %+v, %v, want 3 events", a, err)
	}
}

// Two histories of one topic can reach the same position.
func TestASnapshotOfAnotherHistoryIsNotReplaced(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := clitest.StartNodes(t, b, 3, "query-1")
	dir, store := running[0].DataDir, filepath.Join(t.TempDir(), "store")
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	var made readmodel.Stored
	for range 2 { // an equal one is replaced
		if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+dir); err != nil {
			t.Fatal(err)
		}
	}
	before := clitest.Files(t, store)
	spoil(t, dir, `DELETE FROM users WHERE id = (SELECT max(id) FROM users)`)
	var out bytes.Buffer
	if err := cli.Run(servicetest.Context(t), []string{"verify", "--data-dir=" + dir, "--output=json"}, &out, io.Discard); !errors.Is(err, process.ErrReported) {
		t.Fatalf("the test is invalid: %v", err)
	}
	var report comparison.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("decode the report: %v:\n%s", err, out.String())
	}
	found := report.Nodes[0].Audit.Collections["users"].Found
	spoil(t, dir, fmt.Sprintf(`UPDATE _digests SET living = 2, digest = x'%s'`, found.Digest))
	if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "different rows") {
		t.Errorf("got %v, want an error about other rows", err)
	}
	clitest.WantSameFiles(t, before, clitest.Files(t, store))
	// A snapshot that can't be used is replaced.
	path := filepath.Join(store, made.Name)
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+dir); err != nil || made.Manifest.Entities["users"] != 2 {
		t.Errorf("in place of a broken snapshot: got %+v, %v, want 2 users", made, err)
	}
}
