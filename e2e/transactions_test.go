package e2e_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// foreignTransactions lets another client write into the topic in transactions. However they
// end, the last entry of the log is then a marker, which is not a record. Everything that reads
// the log to its end must reach that end.
func foreignTransactions(t *testing.T, c *cluster.Cluster) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Brokers, ",")...), kgo.DefaultProduceTopic(cluster.Topic), kgo.TransactionalID("foreign"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	node := c.Processes()[len(c.Processes())-1]
	restarted := c.Queries[0]
	for _, transaction := range []struct {
		name   string
		leaves int64 // the number of positions: the record, and the marker of the ended transaction
		end    func(context.Context) error
	}{
		{"committed", 2, func(ctx context.Context) error { return client.EndTransaction(ctx, kgo.TryCommit) }},
		{"aborted", 2, func(ctx context.Context) error { return client.EndTransaction(ctx, kgo.TryAbort) }},
		{"open", 1, func(context.Context) error { return nil }},
	} {
		t.Run(transaction.name, func(t *testing.T) {
			equalRows(t, c)
			before := node.Status()
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			produce(t, client, &kgo.Record{Value: []byte("foreign")})
			if err := transaction.end(soon(t)); err != nil {
				t.Fatal(err)
			}
			want := before.Position + transaction.leaves // the marker is written after the answer
			eventually(t, "the transaction is read", func() bool { s := node.Status(); return s.Position == want && s.End == want })
			if got := node.Status(); got.Voids != before.Voids+1 {
				t.Errorf("got %d voids, want %d", got.Voids, before.Voids+1)
			}
			restarted.Stop()
			restarted.Start()
			restarted.AwaitReady()
			for _, url := range c.ReadURLs() {
				if r := (suite.Target{URL: url}).Do(t, "GET", "/users?limit=1", "", "Clusterlite-Consistency: strong"); r.Status != 200 {
					t.Errorf("a strong read from %s: got %d, want 200: %s", url, r.Status, r.Body)
				}
			}
			toolsReachTheEnd(t, c)
		})
	}
	// A new transaction of this client aborts the open one. End it, so that later tests find
	// the log as they expect it.
	if err := client.EndTransaction(soon(t), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	suite.Target{URL: c.URL}.Create(t, "after the foreign transactions")
	equalRows(t, c)
}

// toolsReachTheEnd runs the tools that read the log to its end, two at a time.
func toolsReachTheEnd(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	dir := t.TempDir()
	running := make(chan struct{}, 2)
	var tools sync.WaitGroup
	for _, args := range [][]string{
		{"events", "tail", "--from=0", "--no-follow", "--all"},
		{"events", "export", "--out=" + dir + "/log.jsonl"},
		{"replay", "--out=" + dir + "/replayed.db"},
		{"reindex", "users", "--dry-run"},
		{"verify"},
		{"snapshot", "create", dir + "/store"},
	} {
		cmd := c.Tool(t, cluster.Topic, args...)
		running <- struct{}{}
		tools.Go(func() {
			defer func() { <-running }()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
			defer stop()
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: got %v, want success: %s", args, err, out)
			}
		})
	}
	tools.Wait()
}
