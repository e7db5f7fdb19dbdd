package projections_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// journaled returns the events in a projection's journal after a position, as key, kind and version.
func journaled(t testing.TB, n *node, after events.Position) (got []string, err error) {
	t.Helper()
	j, release, err := n.Journal()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	_, err = j.Each(deadline(t), after, n.Position(), func(e *journal.Entry) error {
		got = append(got, fmt.Sprintf("%d %s v%d", e.Position, e.Event.Type(), e.Event.Version))
		if len(e.Event.Claims) > 0 || e.Event.IdempotencyKey != "" {
			t.Errorf("the journal has claims or a key: %+v", e.Event)
		}
		return nil
	})
	return got, err
}

func journalStatus(t testing.TB, n *node) journal.Status {
	t.Helper()
	j, release, err := n.Journal()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	return j.Status()
}

var ofHistory = []string{
	"1 clusterlite.users.created v1", "2 clusterlite.users.updated v2",
	"4 clusterlite.orders.created v1", "5 clusterlite.orders.deleted v2", "6 clusterlite.users.created v1",
}

func wantJournal(t testing.TB, n *node, after events.Position, want []string) {
	t.Helper()
	if got, err := journaled(t, n, after); err != nil || !slices.Equal(got, want) {
		t.Errorf("journal after position %d: got %v, %v, want %v", after, got, err, want)
	}
}

// The journal holds the admitted events alone, over restarts, rebuilds and going back.
func TestJournal(t *testing.T) {
	r := newRig(t)
	end := r.history()
	n := r.nodeWith(projections.Options{MaxBatch: 2, Journal: true}).at(end)
	wantJournal(t, n, 0, ofHistory)
	wantJournal(t, n, 4, ofHistory[3:])
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n = r.nodeWith(projections.Options{Dir: n.dir, Journal: true})
	end = r.append(user(uuid.NewString(), "Di", ""))
	n.at(end)
	want := append(slices.Clone(ofHistory), "7 clusterlite.users.created v1")
	wantJournal(t, n, 0, want)
	for _, o := range []projections.RebuildOptions{{Keep: true}, {Back: true}} {
		n.rebuild(o)
		wantJournal(t, n, 0, want)
		end = r.append(user(uuid.NewString(), "Ed", ""))
		n.at(end)
		want = append(want, fmt.Sprintf("%d clusterlite.users.created v1", end))
		wantJournal(t, n, 0, want)
		until(t, "end of the rebuild", func() bool { return len(journals(t, n.dir)) <= 2 })
	}
	if s := journalStatus(t, n); s.Start != 0 || s.Bytes == 0 || s.Damage != "" {
		t.Errorf("got %+v, want a complete journal", s)
	}
}

func journals(t testing.TB, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "projection.*.db-events"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A batch that is rolled back is not in the journal, and is in it once after the retry.
func TestJournalOfABatchThatFails(t *testing.T) {
	r := newRig(t)
	end := r.history()
	var fail atomic.Bool
	fail.Store(true)
	n := r.nodeWith(projections.Options{Journal: true, ReadModels: []readmodel.Factory{func() readmodel.Model { return counts{&fail} }}})
	until(t, "failure", func() bool { return n.State() == projections.StateFailing })
	wantJournal(t, n, 0, nil)
	fail.Store(false)
	n.at(end)
	wantJournal(t, n, 0, ofHistory)
}

// A node that was without a journal serves what comes after, and fills the journal from the log
// while it serves. Without self-repair it waits for the operator.
func TestJournalIsFilledFromTheLog(t *testing.T) {
	r := newRig(t)
	end := r.history()
	n := r.node(t.TempDir(), 0).at(end)
	if _, _, err := n.Journal(); !errors.Is(err, projections.ErrNoJournal) {
		t.Errorf("without a journal: got %v", err)
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n = r.nodeWith(projections.Options{Dir: n.dir, Journal: true, NoSelfRepair: true}).at(end)
	if _, err := journaled(t, n, 0); !errors.Is(err, journal.ErrNotHeld) {
		t.Errorf("read from the beginning: got %v, want ErrNotHeld", err)
	}
	end = r.append(user(uuid.NewString(), "Di", ""))
	n.at(end)
	wantJournal(t, n, 6, []string{"7 clusterlite.users.created v1"})
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n = r.nodeWith(projections.Options{Dir: n.dir, Journal: true}).at(end)
	until(t, "complete journal", func() bool { return journalStatus(t, n).Start == 0 })
	wantJournal(t, n, 0, append(slices.Clone(ofHistory), "7 clusterlite.users.created v1"))
	// Switched off, it takes no room.
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n = r.node(n.dir, 0).at(end)
	if left := journals(t, n.dir); len(left) > 0 {
		t.Errorf("switched off: got %v, want no journal", left)
	}
}

// A journal that is damaged is rebuilt, while reads and writes go on.
func TestJournalDamaged(t *testing.T) {
	r := newRig(t)
	end := r.history()
	n := r.nodeWith(projections.Options{Journal: true}).at(end)
	files, err := filepath.Glob(filepath.Join(journals(t, n.dir)[0], "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v, want one file", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	f, err := os.OpenFile(files[0], os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(content, 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	var damaged *journal.DamagedError
	if _, err := journaled(t, n, 0); !errors.As(err, &damaged) {
		t.Fatalf("got %v, want damage", err)
	}
	end = r.append(user(uuid.NewString(), "Di", ""))
	n.at(end)
	if err := n.Stuck(); err != nil {
		t.Errorf("the node is stuck: %v", err)
	}
	until(t, "rebuilt journal", func() bool { s := journalStatus(t, n); return s.Damage == "" && s.Start == 0 })
	wantJournal(t, n.at(end), 0, append(slices.Clone(ofHistory), "7 clusterlite.users.created v1"))
}

// A rebuild from a snapshot keeps the journal that the node has.
func TestJournalOfARebuildFromASnapshot(t *testing.T) {
	r := newRig(t)
	end := r.history()
	n := r.nodeWith(projections.Options{Journal: true, JournalFillAfter: time.Hour}).at(end)
	snapshot := filepath.Join(t.TempDir(), "snapshot.db")
	if _, err := n.Copy(deadline(t), snapshot); err != nil {
		t.Fatal(err)
	}
	end = r.append(user(uuid.NewString(), "Di", ""))
	n.at(end)
	if err := n.StartRebuild(projections.RebuildOptions{From: func(_ context.Context, path string) error { return os.Rename(snapshot, path) }}); err != nil {
		t.Fatal(err)
	}
	until(t, "rebuild", func() bool { s, _ := n.Rebuild(); return s.State == projections.RebuildDone })
	wantJournal(t, n, 0, append(slices.Clone(ofHistory), "7 clusterlite.users.created v1"))
}
