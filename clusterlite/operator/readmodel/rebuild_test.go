package readmodel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/readmodel"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestRebuildOfRunningNodes(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := clitest.StartNodes(t, b, 1500, "query-1", "query-2")
	end := running[0].Model.Position()
	for _, whose := range [][]string{{"--all"}, {"--node=query-2", "--node=query-1"}, {"--admin=http://" + running[0].Admin.String() + "/", "--admin=" + running[1].Admin.String()}} {
		var result readmodel.Rebuilds
		if err := clitest.Tool(t, b, &result, append([]string{"rebuild"}, whose...)...); err != nil {
			t.Fatalf("%v: got %v, %+v, want success", whose, err, result)
		}
		if len(result.Nodes) != 2 {
			t.Fatalf("%v: got %+v, want two nodes", whose, result)
		}
		for _, n := range result.Nodes {
			if n.Rebuild == nil || n.Rebuild.State != projections.RebuildDone || n.Rebuild.Position != end || !strings.HasPrefix(n.Node, "query-") {
				t.Errorf("%v: got %+v, want a rebuild that is done at the end of the log", whose, n)
			}
		}
	}
	var out bytes.Buffer
	args := []string{"rebuild", "--node=query-1", "--keep", "--kafka-brokers=" + b.Addr()}
	if err := cli.Run(servicetest.Context(t), args, &out, io.Discard); err != nil || !strings.Contains(out.String(), "query-1: rebuilt, swapped at position 1500 in ") || !strings.Contains(out.String(), "kept as projection.4.db") {
		t.Errorf("got %v: %s, want the swap at position 1500 and the kept file", err, out.String())
	}
	var result readmodel.Rebuilds
	if err := clitest.Tool(t, b, &result, "rebuild", "--node=query-1", "--back"); err != nil {
		t.Errorf("got %v, %+v, want success", err, result)
	}
	// There is no earlier file, and the result says so.
	if err := clitest.Tool(t, b, &result, "rebuild", "--node=query-2", "--back"); !errors.Is(err, process.ErrReported) || !strings.Contains(result.Nodes[0].Rebuild.Error, "no earlier file") {
		t.Errorf("got %v, %+v, want a failure because there is no earlier file", err, result)
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--node=query-3"); err == nil || !strings.Contains(err.Error(), "query-3") {
		t.Errorf("got %v, want an error that names query-3", err)
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--admin=127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got %v, want an error that names the address", err)
	}
}

func TestRebuildIsCancelled(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := clitest.StartNodes(t, b, 1500, "query-1")
	model := running[0].Model
	var result readmodel.Rebuilds
	// Another process starts the rebuild.
	if err := model.StartRebuild(projections.RebuildOptions{Rate: 1}); err != nil {
		t.Fatal(err)
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--all"); !errors.Is(err, process.ErrReported) || !strings.Contains(result.Nodes[0].Error, "is already running") {
		t.Errorf("got %v, %+v, want a failure because a rebuild is running", err, result)
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--all", "--cancel"); err != nil || result.Nodes[0].Rebuild.State != projections.RebuildCancelled {
		t.Errorf("got %v, %+v, want a cancelled rebuild", err, result)
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--all", "--cancel"); !errors.Is(err, process.ErrReported) || !strings.Contains(result.Nodes[0].Error, "No rebuild is running") {
		t.Errorf("got %v, %+v, want a failure because no rebuild is running", err, result)
	}
	// The end of the tool also cancels its rebuild.
	ctx, cancel := context.WithCancel(servicetest.Context(t))
	ended := make(chan error, 1)
	go func() {
		ended <- cli.Run(ctx, []string{"rebuild", "--all", "--rate=1", "--kafka-brokers=" + b.Addr()}, io.Discard, io.Discard)
	}()
	for s, _ := model.Rebuild(); s.State != projections.RebuildRunning; s, _ = model.Rebuild() {
		if servicetest.Context(t).Err() != nil {
			t.Fatal("the rebuild did not start")
		}
		time.Sleep(time.Millisecond) // polling
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if s, _ := model.Rebuild(); s.State != projections.RebuildCancelled {
		t.Errorf("got %+v, want a cancelled rebuild", s)
	}
}

// A rebuild of a node that can't apply the next record reaches that record but does not help.
func TestRebuildOfANodeThatStaysStuck(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := clitest.StartNodes(t, b, 5, "query-1")
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = client.ProduceSync(servicetest.Context(t), &kgo.Record{Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("clusterlite.users.archived")}, {Key: "ce_format", Value: []byte("99")},
	}}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	for running[0].Model.Err() == nil {
		if servicetest.Context(t).Err() != nil {
			t.Fatal("the node continues, want it to stop at the record")
		}
		time.Sleep(time.Millisecond) // polling
	}
	for _, whose := range []string{"--node=query-1", "--all", "--admin=" + running[0].Admin.String()} {
		var out bytes.Buffer
		err := cli.Run(servicetest.Context(t), []string{"rebuild", whose, "--kafka-brokers=" + b.Addr()}, &out, io.Discard)
		if !errors.Is(err, process.ErrReported) || !strings.Contains(out.String(), "FAILED: it was rebuilt up to position 5, but still can't continue") || !strings.Contains(out.String(), "newer-format") {
			t.Errorf("%s: got %v: %s, want a failure that names newer-format", whose, err, out.String())
		}
		var result readmodel.Rebuilds
		if err := clitest.Tool(t, b, &result, "rebuild", whose); !errors.Is(err, process.ErrReported) || len(result.Nodes) != 1 || !strings.Contains(result.Nodes[0].Error, "newer-format") {
			t.Errorf("%s: got %v, %+v, want an error that names newer-format", whose, err, result)
		}
	}
}

func TestRebuildOfAStoppedNode(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := clitest.StartNodes(t, b, 10, "query-1")
	dir := running[0].DataDir
	var result readmodel.RebuiltFolder
	if err := clitest.Tool(t, b, &result, "rebuild", "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "node query-1") {
		t.Errorf("a running node: got %v, want an error that names it", err)
	}
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--data-dir="+dir); err != nil || result.Position != 10 || result.Entities["users"] != 10 || result.Kept != "" {
		t.Errorf("got %v, %+v, want 10 users and no kept file", err, result)
	}
	spoil(t, dir, `PRAGMA user_version = 99`)
	if err := clitest.Tool(t, b, &result, "rebuild", "--data-dir="+dir); err != nil || !strings.Contains(result.Incomparable, "other-schema") || result.Kept == "" {
		t.Errorf("got %v, %+v, want a kept file of another schema", err, result)
	}
	spoil(t, dir, `UPDATE _digests SET digest = zeroblob(32)`)
	var differs *projections.DigestsDifferError
	if err := clitest.Tool(t, b, &result, "rebuild", "--data-dir="+dir); !errors.As(err, &differs) {
		t.Errorf("got %v, want an error about a difference", err)
	}
	var out bytes.Buffer
	args := []string{"rebuild", "--force", "--data-dir=" + dir, "--kafka-brokers=" + b.Addr()}
	if err := cli.Run(servicetest.Context(t), args, &out, io.Discard); err != nil || !strings.Contains(out.String(), "the digests differed for users; the old file was kept as ") {
		t.Errorf("got %v: %s, want different digests of users and a kept file", err, out.String())
	}
	if err := clitest.Tool(t, b, &result, "rebuild", "--data-dir="+filepath.Join(dir, "nowhere")); err == nil {
		t.Error("got success for a missing folder, want an error")
	}
}

func spoil(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", filepath.Join(dir, datafolder.FileName))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// The folder of an all-in-one node also contains the log.
func TestRebuildOfAStoppedStandalone(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	out := clitest.NewGreeting()
	ran := make(chan error, 1)
	go func() { ran <- cli.Run(ctx, clitest.ServeArgs(dir), out, io.Discard) }()
	select {
	case <-out.Done:
	case err := <-ran:
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(out.String(), "Kafka  ")
	broker, _, _ := strings.Cut(rest, "\n")
	log, err := eventlog.Open(eventlog.Config{Brokers: []string{broker}, Topic: "clusterlite.events"})
	if err != nil {
		t.Fatal(err)
	}
	end := clitest.AppendUsers(t, log, 3)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, datafolder.FileName), []byte("no database at all, but a text"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	var result readmodel.RebuiltFolder
	err = cli.Run(servicetest.Context(t), []string{"rebuild", "--data-dir=" + dir, "--output=json"}, &stdout, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil || result.Position != end || result.Entities["users"] != 3 || result.Incomparable == "" {
		t.Errorf("got %v, %s, want 3 users at the end of the log", err, stdout.String())
	}
}

func TestRebuildUsageErrors(t *testing.T) {
	clitest.CheckUsage(t, "rebuild", [][]string{
		{}, {"--all", "--node=a"}, {"--data-dir=d", "--cancel"}, {"--data-dir=d", "--rate=1"},
		{"--all", "--rate=-1"}, {"--all", "--back", "--keep"}, {"--all", "--kafka-brokers=x"},
	})
}
