package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// foreignTransactions opens transactions on the log, one after another, with one record each.
// It commits or aborts each as requested. A nil leaves the transaction open.
func foreignTransactions(t *testing.T, addr string, ends ...*kgo.TransactionEndTry) {
	t.Helper()
	ctx := servicetest.Context(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("foreign"), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, end := range ends {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(ctx, &kgo.Record{Value: []byte("foreign")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if end == nil {
			continue
		}
		if err := client.EndTransaction(ctx, *end); err != nil {
			t.Fatal(err)
		}
	}
}

// wantAtEnd checks that reads are answered from the end of the log, and that the node reports
// this position.
func wantAtEnd(t *testing.T, s clitest.Server, position, voids int64) {
	t.Helper()
	r, err := http.NewRequestWithContext(servicetest.Context(t), http.MethodGet, s.URL+"/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, consistency := range []string{"strong", "eventual"} {
		r.Header.Set("Clusterlite-Consistency", consistency)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d %s, want 200", consistency, answer.StatusCode, body)
		}
	}
	var got projections.Status
	if err := json.Unmarshal(clitest.Request(t, http.MethodGet, s.Admin+"/status", ""), &got); err != nil {
		t.Fatal(err)
	}
	if int64(got.Position) != position || got.Lag.Events != 0 || got.Voids != voids {
		t.Errorf("got position %d, lag %d, %d voids, want %d, 0, %d", got.Position, got.Lag.Events, got.Voids, position, voids)
	}
	clitest.Request(t, http.MethodGet, s.Admin+"/readyz", "")
}

// Every reader reaches the end of the log, whatever the log ends with.
func TestALogWithForeignTransactions(t *testing.T) {
	commit, abort := kgo.TryCommit, kgo.TryAbort
	for name, c := range map[string]struct {
		before, after   []*kgo.TransactionEndTry // before and after the only event of the log
		position, voids int64
	}{
		"committed at the end":           {nil, []*kgo.TransactionEndTry{&commit}, 3, 1},
		"aborted at the end":             {nil, []*kgo.TransactionEndTry{&abort}, 3, 1},
		"open":                           {nil, []*kgo.TransactionEndTry{nil}, 2, 1},
		"at the start":                   {[]*kgo.TransactionEndTry{&commit}, nil, 3, 1},
		"several in a row, the last one": {[]*kgo.TransactionEndTry{&abort, &commit}, []*kgo.TransactionEndTry{&commit, &abort, &commit}, 11, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := clitest.Serve(t, dir)
			if len(c.before) > 0 {
				foreignTransactions(t, s.Kafka, c.before...)
			}
			if status, _ := s.Post("users", `{"name":"Nora","email":"ada@example.com"}`); status != http.StatusCreated {
				t.Fatalf("create: got %d, want 201", status)
			}
			if len(c.after) > 0 {
				foreignTransactions(t, s.Kafka, c.after...)
			}
			wantAtEnd(t, s, c.position, c.voids)

			// A node that starts right after a marker recognizes the log.
			s.Stop()
			s = clitest.Serve(t, dir)
			wantAtEnd(t, s, c.position, c.voids)
			wantTools(t, s, t.TempDir())
			if status, _ := s.Post("users", `{"name":"Bob","email":"bob@example.com"}`); status != http.StatusCreated {
				t.Errorf("create after all: got %d, want 201", status)
			}
		})
	}
}

// wantTools runs all commands that read the log to its end. They must terminate and find
// one user.
func wantTools(t *testing.T, s clitest.Server, dir string) {
	t.Helper()
	for _, args := range [][]string{
		{"events", "tail", "--from=0", "--no-follow", "--all"},
		{"events", "tail", "--from=0", "--no-follow", "--all", "--output=json"},
		{"events", "export", "--out=" + filepath.Join(dir, "log.jsonl")},
		{"replay", "--out=" + filepath.Join(dir, "replayed.db")},
		{"reindex", "users", "--dry-run"},
		{"verify", "--deep"},
		{"snapshot", "create", filepath.Join(dir, "store")},
		{"voids"},
		{"rebuild", "--all"},
		{"status"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var stdout, stderr bytes.Buffer
		if err := cli.Run(ctx, append(slices.Clone(args), "--kafka-brokers="+s.Kafka), &stdout, &stderr); err != nil {
			t.Errorf("%v: got %v, want no error\n%s%s", args, err, stdout.String(), stderr.String())
		}
		cancel()
	}
	if n := clitest.Count(t, filepath.Join(dir, "replayed.db")); n != 1 {
		t.Errorf("replay: got %d users, want 1", n)
	}
}
