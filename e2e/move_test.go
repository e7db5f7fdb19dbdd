package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

const movedTopic = "moved.events"

// moveStore moves a standalone store to the cluster's brokers by export and import; one
// import is killed midway.
func moveStore(t *testing.T, c *cluster.Cluster) {
	from := cluster.Serve(t)
	target := suite.Target{URL: from.URL}
	keyed := fill(t, target)
	status := from.Server.Status()
	file := filepath.Join(t.TempDir(), "store.jsonl.zst")

	exported := struct {
		Events, Position int64
		Digests          map[string]string
	}{}
	result(t, from.Tool(t, "clusterlite.events", "events", "export", "--out", file, "--output", "json"), &exported)
	if exported.Position != status.Position || !maps.Equal(exported.Digests, status.Digests) {
		t.Errorf("got the export %+v, want the state of the node, %+v", exported, status)
	}

	killed := c.Tool(t, movedTopic, "events", "import", file)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	awaitRecord(t, c.Brokers, movedTopic)
	_ = killed.Process.Kill() // at any point; it may even have finished
	_ = killed.Wait()

	imported := struct {
		Events, Found, Appended int64
		Equal                   bool
	}{}
	result(t, c.Tool(t, movedTopic, "events", "import", file, "--output", "json"), &imported)
	if !imported.Equal || imported.Events != exported.Events || imported.Found+imported.Appended != imported.Events {
		t.Errorf("got the import %+v, want everything of %+v", imported, exported)
	}
	t.Logf("of %d events %d were appended before the import was killed", imported.Events, imported.Found)
	suite.Target{URL: c.URL}.Create(t, "an entity of its own")
	refused(t, c.Tool(t, "clusterlite.events", "events", "import", file))
	inspectTopic(t, c)

	to := c.Beside(t, movedTopic)
	for _, p := range to.Processes() {
		if got := p.Status(); !maps.Equal(got.Digests, status.Digests) || !maps.Equal(got.Entities, status.Entities) || got.Voids != 0 {
			t.Errorf("%s: got %+v, want the state of the old store, %+v", p.Name, got, status)
		}
	}
	after := suite.Target{URL: to.Queries[0].URL}
	if !bytes.Equal(rows(t, target), rows(t, after)) {
		t.Error("got rows that differ from those of the old store")
	}
	keyed(suite.Target{URL: to.Commands[0].URL})
	e := (suite.Target{URL: to.Commands[0].URL}).Create(t, "after the move")
	after.Do(t, "GET", "/users/"+e.ID, "").Want(t, 200)
}

// inspectTopic inspects the new topic: by time, by filter, by position and by id.
func inspectTopic(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	var deleted struct{ ID, Type, Position string }
	result(t, c.Tool(t, movedTopic, "events", "tail", "--from", "1h", "--no-follow", "--type", "deleted", "--output", "json"), &deleted)
	if deleted.Type != "clusterlite.users.deleted" {
		t.Errorf("got the tail %+v, want a deletion", deleted)
	}
	for _, record := range []string{deleted.Position, deleted.ID} {
		var shown struct {
			Content string
			Headers [][2]string
		}
		result(t, c.Tool(t, movedTopic, "events", "show", record, "--output", "json"), &shown)
		if shown.Content != "event" || !slices.Contains(shown.Headers, [2]string{"ce_id", deleted.ID}) {
			t.Errorf("show %s: got %+v, want the event %s", record, shown, deleted.ID)
		}
	}
}

// awaitRecord waits until a topic, which may not exist yet, contains a record.
func awaitRecord(t *testing.T, brokers, topic string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ConsumeTopics(topic), kgo.UnknownTopicRetries(-1),
		kgo.MetadataMinAge(20*time.Millisecond), kgo.MetadataMaxAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for client.PollRecords(ctx, 1).Empty() {
		if ctx.Err() != nil {
			t.Fatalf("got no record in topic %s", topic)
		}
	}
}

// fill writes the content of a store. It returns a function that repeats a request whose
// outcome is known.
func fill(t *testing.T, target suite.Target) (retry func(suite.Target)) {
	t.Helper()
	var lines strings.Builder
	for i := range 10_000 {
		_, _ = fmt.Fprintln(&lines, suite.UserBody(fmt.Sprint("n", i), suite.Email())) // writes to a builder never fail
	}
	target.Do(t, "POST", "/users", lines.String(), "Content-Type: application/x-ndjson").Want(t, 200)
	key, body := "Idempotency-Key: "+suite.Key(), suite.UserBody("Keyed", suite.Email())
	first := target.Do(t, "POST", "/users", body, key).Want(t, 201)
	target.Do(t, "PATCH", first.Header.Get("Location"), `{"name":"Later"}`).Want(t, 200)
	gone := target.Create(t, "Gone")
	target.Do(t, "DELETE", "/users/"+gone.ID, "").Want(t, 204)
	return func(moved suite.Target) {
		t.Helper()
		again := moved.Do(t, "POST", "/users", body, key)
		if again.Status != first.Status || !bytes.Equal(again.Body, first.Body) {
			t.Errorf("a retry after the move: got %d %s, want the first answer, %d %s", again.Status, again.Body, first.Status, first.Body)
		}
	}
}

func rows(t *testing.T, target suite.Target) []byte {
	t.Helper()
	b, err := json.Marshal(target.All(t, 5000))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// result runs the tool, which must succeed, and decodes its result.
func result(t *testing.T, cmd *exec.Cmd, into any) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: got %v, want success\n%s%s", cmd.Args, err, out, stderr.Bytes())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%v: decode the result: %v\n%s", cmd.Args, err, out)
	}
}

// refused runs the tool, which must fail because the topic has other records.
func refused(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 || !bytes.Contains(out, []byte("holds more than the export")) {
		t.Errorf("%v: got %v, want exit code 1 because of other records\n%s", cmd.Args, err, out)
	}
}
