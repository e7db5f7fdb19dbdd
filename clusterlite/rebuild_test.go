package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// tool runs the tool on a broker and decodes its result.
func tool(t *testing.T, b *servicetest.Broker, into any, args ...string) error {
	t.Helper()
	return toolAlone(t, into, append(args, "--kafka-brokers="+b.Addr())...)
}

// toolAlone runs what needs no broker.
func toolAlone(t *testing.T, into any, args ...string) error {
	t.Helper()
	var stdout bytes.Buffer
	err := run(servicetest.Context(t), append(args, "--output=json"), &stdout, io.Discard)
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
			t.Fatalf("got %v: %s", err, stdout.String())
		}
	}
	return err
}

// append appends n users.
func appendUsers(t *testing.T, log *eventlog.Log, n int) (end events.Position) {
	t.Helper()
	batch := make([]events.Event, n)
	for i := range batch {
		batch[i] = events.Event{
			ID: uuid.NewString(), Source: "/test", Collection: "users", EntityID: uuid.NewString(), Kind: events.Created, Version: 1,
			Time: time.Now(), Document: fmt.Appendf(nil, `{"name":"N%d"}`, i),
		}
	}
	end, err := log.Append(servicetest.Context(t), batch...)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// startNodes starts nodes that are found and have n users.
func startNodes(t *testing.T, b *servicetest.Broker, users int, names ...string) (running []*node.Node, stops []func() error) {
	t.Helper()
	for _, name := range names {
		n, stop := servicetest.StartNode(t, b, name)
		running, stops = append(running, n), append(stops, stop)
	}
	log := running[0].Log
	for ctx := servicetest.Context(t); ; time.Sleep(time.Millisecond) { // polling
		if all, err := roster.List(ctx, log); err != nil {
			t.Fatal(err)
		} else if len(all) == len(names) {
			break
		}
	}
	if users == 0 {
		return running, stops
	}
	end := appendUsers(t, log, users)
	for _, n := range running {
		if err := n.Model.WaitFor(servicetest.Context(t), end); err != nil {
			t.Fatal(err)
		}
	}
	return running, stops
}

func TestRebuildOfRunningNodes(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := startNodes(t, b, 1500, "query-1", "query-2")
	end := running[0].Model.Position()
	for _, whose := range [][]string{{"--all"}, {"--node=query-2", "--node=query-1"}, {"--admin=http://" + running[0].Admin.String() + "/", "--admin=" + running[1].Admin.String()}} {
		var result rebuilds
		if err := tool(t, b, &result, append([]string{"rebuild"}, whose...)...); err != nil {
			t.Fatalf("%v: %v, %+v", whose, err, result)
		}
		if len(result.Nodes) != 2 {
			t.Fatalf("%v: %+v", whose, result)
		}
		for _, n := range result.Nodes {
			if n.Rebuild == nil || n.Rebuild.State != projections.RebuildDone || n.Rebuild.Position != end || !strings.HasPrefix(n.Node, "query-") {
				t.Errorf("%v: %+v", whose, n)
			}
		}
	}
	var out bytes.Buffer
	args := []string{"rebuild", "--node=query-1", "--keep", "--kafka-brokers=" + b.Addr()}
	if err := run(servicetest.Context(t), args, &out, io.Discard); err != nil || !strings.Contains(out.String(), "query-1: rebuilt, swapped at position 1500 in ") || !strings.Contains(out.String(), "kept as projection.4.db") {
		t.Errorf("got %v: %s", err, out.String())
	}
	var result rebuilds
	if err := tool(t, b, &result, "rebuild", "--node=query-1", "--back"); err != nil {
		t.Errorf("got %v, %+v", err, result)
	}
	// There is nothing to go back to, and that is what the result says.
	if err := tool(t, b, &result, "rebuild", "--node=query-2", "--back"); !errors.Is(err, process.ErrReported) || !strings.Contains(result.Nodes[0].Rebuild.Error, "no earlier file") {
		t.Errorf("got %v, %+v", err, result)
	}
	if err := tool(t, b, &result, "rebuild", "--node=query-3"); err == nil || !strings.Contains(err.Error(), "query-3") {
		t.Errorf("got %v", err)
	}
	if err := tool(t, b, &result, "rebuild", "--admin=127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

func TestRebuildIsCancelled(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := startNodes(t, b, 1500, "query-1")
	model := running[0].Model
	var result rebuilds
	// By another process.
	if err := model.StartRebuild(projections.RebuildOptions{Rate: 1}); err != nil {
		t.Fatal(err)
	}
	if err := tool(t, b, &result, "rebuild", "--all"); !errors.Is(err, process.ErrReported) || !strings.Contains(result.Nodes[0].Error, "is already running") {
		t.Errorf("got %v, %+v", err, result)
	}
	if err := tool(t, b, &result, "rebuild", "--all", "--cancel"); err != nil || result.Nodes[0].Rebuild.State != projections.RebuildCancelled {
		t.Errorf("got %v, %+v", err, result)
	}
	if err := tool(t, b, &result, "rebuild", "--all", "--cancel"); !errors.Is(err, process.ErrReported) || !strings.Contains(result.Nodes[0].Error, "No rebuild is running") {
		t.Errorf("got %v, %+v", err, result)
	}
	// And by the end of the tool.
	ctx, cancel := context.WithCancel(servicetest.Context(t))
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"rebuild", "--all", "--rate=1", "--kafka-brokers=" + b.Addr()}, io.Discard, io.Discard)
	}()
	for s, _ := model.Rebuild(); s.State != projections.RebuildRunning; s, _ = model.Rebuild() {
		if servicetest.Context(t).Err() != nil {
			t.Fatal("it did not start")
		}
		time.Sleep(time.Millisecond) // polling
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if s, _ := model.Rebuild(); s.State != projections.RebuildCancelled {
		t.Errorf("got %+v", s)
	}
}

// A rebuild of a node that can't apply the next record reaches that record and does not
// help.
func TestRebuildOfANodeThatStaysStuck(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := startNodes(t, b, 5, "query-1")
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
			t.Fatal("it continues")
		}
		time.Sleep(time.Millisecond) // polling
	}
	for _, whose := range []string{"--node=query-1", "--all", "--admin=" + running[0].Admin.String()} {
		var out bytes.Buffer
		err := run(servicetest.Context(t), []string{"rebuild", whose, "--kafka-brokers=" + b.Addr()}, &out, io.Discard)
		if !errors.Is(err, process.ErrReported) || !strings.Contains(out.String(), "FAILED: it was rebuilt up to position 5, but still can't continue") || !strings.Contains(out.String(), "newer-format") {
			t.Errorf("%s: got %v: %s, want a failure that names newer-format", whose, err, out.String())
		}
		var result rebuilds
		if err := tool(t, b, &result, "rebuild", whose); !errors.Is(err, process.ErrReported) || len(result.Nodes) != 1 || !strings.Contains(result.Nodes[0].Error, "newer-format") {
			t.Errorf("%s: got %v, %+v, want an error that names newer-format", whose, err, result)
		}
	}
}

func TestRebuildOfAStoppedNode(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := startNodes(t, b, 10, "query-1")
	dir := running[0].DataDir
	var result rebuiltFolder
	if err := tool(t, b, &result, "rebuild", "--data-dir="+dir); err == nil || !strings.Contains(err.Error(), "node query-1") {
		t.Errorf("the node runs: %v", err)
	}
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	if err := tool(t, b, &result, "rebuild", "--data-dir="+dir); err != nil || result.Position != 10 || result.Entities["users"] != 10 || result.Kept != "" {
		t.Errorf("got %v, %+v", err, result)
	}
	spoil(t, dir, `PRAGMA user_version = 99`)
	if err := tool(t, b, &result, "rebuild", "--data-dir="+dir); err != nil || !strings.Contains(result.Incomparable, "other-schema") || result.Kept == "" {
		t.Errorf("got %v, %+v", err, result)
	}
	spoil(t, dir, `UPDATE _digests SET digest = zeroblob(32)`)
	var differs *projections.DigestsDifferError
	if err := tool(t, b, &result, "rebuild", "--data-dir="+dir); !errors.As(err, &differs) {
		t.Errorf("got %v", err)
	}
	var out bytes.Buffer
	args := []string{"rebuild", "--force", "--data-dir=" + dir, "--kafka-brokers=" + b.Addr()}
	if err := run(servicetest.Context(t), args, &out, io.Discard); err != nil || !strings.Contains(out.String(), "the digests differed for users; the old file was kept as ") {
		t.Errorf("got %v: %s", err, out.String())
	}
	if err := tool(t, b, &result, "rebuild", "--data-dir="+filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there was rebuilt")
	}
}

func spoil(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", filepath.Join(dir, projections.FileName))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// The log of an all-in-one node is in its folder.
func TestRebuildOfAStoppedStandalone(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	out := &greeting{done: make(chan struct{})}
	ran := make(chan error, 1)
	go func() { ran <- run(ctx, serveArgs(dir), out, io.Discard) }()
	select {
	case <-out.done:
	case err := <-ran:
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(out.String(), "Kafka  ")
	broker, _, _ := strings.Cut(rest, "\n")
	log, err := eventlog.Open(eventlog.Config{Brokers: []string{broker}, Topic: "clusterlite.events"})
	if err != nil {
		t.Fatal(err)
	}
	end := appendUsers(t, log, 3)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, projections.FileName), []byte("no database at all, but a text"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	var result rebuiltFolder
	err = run(servicetest.Context(t), []string{"rebuild", "--data-dir=" + dir, "--output=json"}, &stdout, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil || result.Position != end || result.Entities["users"] != 3 || result.Incomparable == "" {
		t.Errorf("got %v, %s", err, stdout.String())
	}
}

func TestRebuildUsageErrors(t *testing.T) {
	checkUsage(t, "rebuild", [][]string{
		{}, {"--all", "--node=a"}, {"--data-dir=d", "--cancel"}, {"--data-dir=d", "--rate=1"},
		{"--all", "--rate=-1"}, {"--all", "--back", "--keep"}, {"--all", "--kafka-brokers=x"},
	})
}
