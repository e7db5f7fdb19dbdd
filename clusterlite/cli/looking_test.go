package cli_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A mistyped snapshot store must not look like an empty one.
func TestLookingForSnapshotsCreatesNoStore(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := clitest.StartNodes(t, b, 3, "query-1")
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	dir := running[0].DataDir
	for _, place := range []string{"typo", "typo/deep", "file://typo", "file://typo/deep?create_dir=true"} {
		root := t.TempDir()
		store := strings.Replace(place, "typo", filepath.Join(root, "typo"), 1)
		for _, args := range [][]string{
			{"snapshot", "list", store}, {"snapshot", "prune", store}, {"snapshot", "append", store},
			{"snapshot", "restore", store, "--data-dir=" + filepath.Join(root, "node")},
		} {
			if args[1] == "append" {
				args = append(args, "--kafka-brokers="+b.Addr())
			}
			err := cli.Run(servicetest.Context(t), args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), "no snapshot store at "+store+": the folder does not exist") {
				t.Errorf("%v: got %v, want an error that says that there is no store", args, err)
			}
		}
		deep := strings.Contains(place, "deep")
		var made any
		if err := clitest.ToolAlone(t, &made, "snapshot", "create", store, "--data-dir="+dir); (err != nil) != deep || deep && !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("create %s: got %v, want an error: %v", place, err, deep)
		}
		entries, err := os.ReadDir(root)
		if err != nil || deep && len(entries) > 0 || !deep && len(entries) != 1 {
			t.Errorf("%s: got %v, %v in the folder, want a store only where one may be created", place, entries, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cli.Run(t.Context(), []string{"snapshot", "list", file}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a file: got %v, want an error that says that it is not a folder", err)
	}
}

func TestBootstrapCreatesNoStore(t *testing.T) {
	b := servicetest.StartBroker(t)
	nope := filepath.Join(t.TempDir(), "nope")
	ready, _ := servicetest.RunNode(t, b, "query-1", func(c *node.Config) { c.Bootstrap = []string{nope} })
	<-ready
	if _, err := os.Stat(nope); err == nil {
		t.Errorf("got a new %s, want none", nope)
	}
}

// keeps returns what a broker stores: its topics and its groups.
func keeps(t *testing.T, b *servicetest.Broker) (names []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := kmsg.NewPtrMetadataRequest().RequestWith(servicetest.Context(t), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics.Topics {
		names = append(names, "topic "+*topic.Topic)
	}
	groups, err := kmsg.NewPtrListGroupsRequest().RequestWith(servicetest.Context(t), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups.Groups {
		names = append(names, "group "+group.Group)
	}
	return names
}

// Inspecting an empty cluster finds nothing and creates nothing.
func TestLookingAtAnEmptyClusterChangesNothing(t *testing.T) {
	b := servicetest.StartBroker(t)
	dir := t.TempDir()
	t.Chdir(dir)
	for _, args := range [][]string{
		{"status"}, {"nodes"}, {"nodes", "list"}, {"nodes", "forget", "x"}, {"voids"}, {"verify"}, {"verify", "--deep"},
		{"events", "tail", "--from=0", "--no-follow"}, {"events", "tail", "--from=1h", "--no-follow"}, {"events", "show", "1"},
		{"events", "export", "--out=export.jsonl"}, {"replay", "--out=replay.db"}, {"replay", "--until=1h", "--out=replay.db"},
		{"reindex", "users", "--dry-run"}, {"rebuild", "--all"}, {"rebuild", "--node=x"}, {"rebuild", "--data-dir=typo"},
		{"snapshot", "create", "store"}, {"snapshot", "create", "store", "--data-dir=typo"},
		{"snapshot", "append", "store", "--data-dir=typo"}, {"snapshot", "restore", "store", "--data-dir=typo"},
		{"verify", "--data-dir=typo"}, {"import", "typo", "--collection=users", "--url=http://127.0.0.1:1"},
	} {
		if offline := args[0] == "import" || args[len(args)-1] == "--data-dir=typo" && args[0] != "rebuild"; !offline || args[1] == "append" || args[1] == "create" {
			args = append(args, "--kafka-brokers="+b.Addr())
		}
		err := cli.Run(servicetest.Context(t), args, io.Discard, io.Discard)
		if list := args[0] == "nodes" && args[1] != "forget"; list == (err != nil) {
			t.Errorf("%v: got %v, want success only for nodes list", args, err)
		}
		if names := keeps(t, b); len(names) > 0 {
			t.Fatalf("%v: got the new topics and groups %v, want none", args, names)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Fatalf("%v: got the new files %v, %v, want none", args, entries, err)
		}
	}
}

// Inspecting a cluster or a folder does not change its files either.
func TestLookingChangesNoFile(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := clitest.StartNodes(t, b, 5, "query-1")
	dir, store := running[0].DataDir, filepath.Join(t.TempDir(), "store")
	var made any
	if err := clitest.Tool(t, b, &made, "snapshot", "create", store); err != nil {
		t.Fatal(err)
	}
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	before, stored, names := clitest.Files(t, dir), clitest.Files(t, store), keeps(t, b)
	for _, args := range [][]string{
		{"verify", "--data-dir=" + dir}, {"snapshot", "list", store}, {"snapshot", "prune", store},
		{"status", "--kafka-brokers=" + b.Addr()}, {"nodes", "--kafka-brokers=" + b.Addr()},
		{"events", "tail", "--from=0", "--no-follow", "--kafka-brokers=" + b.Addr()}, {"events", "show", "1", "--kafka-brokers=" + b.Addr()},
		{"reindex", "users", "--dry-run", "--kafka-brokers=" + b.Addr()},
	} {
		if err := cli.Run(servicetest.Context(t), args, io.Discard, io.Discard); err != nil && args[0] != "status" {
			t.Errorf("%v: got %v, want success", args, err)
		}
		clitest.WantSameFiles(t, before, clitest.Files(t, dir))
		clitest.WantSameFiles(t, stored, clitest.Files(t, store))
	}
	if now := keeps(t, b); strings.Join(now, ", ") != strings.Join(names, ", ") {
		t.Errorf("the broker keeps %v, want %v", now, names)
	}
}
