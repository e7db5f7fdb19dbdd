package projections_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// transact commits one record in a transaction of another producer. The broker appends a marker.
func (r *rig) transact() {
	r.t.Helper()
	ctx := deadline(r.t)
	client, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addr()), kgo.TransactionalID("foreign"), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Value: []byte("foreign")}).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		r.t.Fatal(err)
	}
}

func awaitReady(t *testing.T, n *node) {
	t.Helper()
	for ctx := deadline(t); n.Ready(0) != nil; time.Sleep(time.Millisecond) { // polling
		if ctx.Err() != nil {
			t.Fatalf("got %v, want a ready node", n.Ready(0))
		}
	}
}

// A node that was stopped right after a marker recognizes the log by that marker. It refuses a log
// that has lost the marker.
func TestAMarkerIdentifiesTheLog(t *testing.T) {
	t.Parallel() // it mostly waits
	r := newRig(t)
	dir := t.TempDir()
	r.append(user(uuid.NewString(), "Ada", ""))
	back := r.backup()
	r.transact()
	if err := r.node(dir, 0).at(3).close(); err != nil {
		t.Fatal(err)
	}
	again := r.node(dir, 0)
	awaitReady(t, again)
	if got := again.Position(); got != 3 {
		t.Errorf("got position %d, want 3", got)
	}
	if err := again.close(); err != nil {
		t.Fatal(err)
	}

	back()
	r.log = r.open("clusterlite.events") // the producer of the old log would continue its sequence numbers
	r.append(user(uuid.NewString(), "Eve", ""), user(uuid.NewString(), "Zoe", ""))
	refusedAtStart(t, r.node(dir, 0), refusal.Other)
}

// A rebuild ends at the end of the log, even if the last record is a marker.
func TestARebuildEndsAfterAMarker(t *testing.T) {
	r := newRig(t)
	r.append(user(uuid.NewString(), "Ada", ""))
	r.transact()
	n := r.node(t.TempDir(), 0).at(3)
	if err := n.StartRebuild(projections.RebuildOptions{}); err != nil {
		t.Fatal(err)
	}
	for ctx := deadline(t); ; time.Sleep(time.Millisecond) { // polling
		status, _ := n.Rebuild()
		if status.State == projections.RebuildRunning && ctx.Err() == nil {
			continue
		}
		if status.State != projections.RebuildDone || status.Position != 3 {
			t.Fatalf("got %+v, want it done at position 3", status)
		}
		break
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
}
