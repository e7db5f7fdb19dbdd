package projections_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

// Each copy is complete and at a position of the log, while the node applies more events.
func TestCopyUnderWrites(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	n := r.node(t.TempDir(), 3).at(r.append(user(uuid.NewString(), "Ada", claim)))
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				r.append(user(uuid.NewString(), "Bob", ""), user(uuid.NewString(), "Eve", ""))
			}
		}
	})
	var last events.Position
	for range 5 {
		path := filepath.Join(dir, "copy.db")
		at := n.Position()
		copied, err := n.Copy(deadline(t), path)
		if err != nil {
			t.Fatal(err)
		}
		if copied.Position < at || copied.Position < last {
			t.Errorf("got a copy at position %d, want at least %d", copied.Position, max(at, last))
		}
		last = copied.Position
		if got := files(t, dir); !slices.Equal(got, []string{"copy.db"}) {
			t.Errorf("got files %v, want only copy.db", got)
		}
		again, err := r.build(filepath.Join(t.TempDir(), "built.db"), offline.UntilPosition(copied.Position))
		if err != nil {
			t.Fatal(err)
		}
		if again.Collections["users"] != copied.Collections["users"] || again.TopicID != copied.TopicID || !again.LogTime.Equal(copied.LogTime) {
			t.Errorf("got a copy of %+v, want %+v as built from the log", copied, again)
		}
		if got := names(t, path); int64(len(got)) != copied.Collections["users"].Living {
			t.Errorf("got %d rows, want as many as %+v says", len(got), copied.Collections)
		}
		before := n.Position()
		n.at(before + 2)
	}
	close(stop)
	writer.Wait()
}

func TestACopyIsInstalled(t *testing.T) {
	r, old, fresh := newRig(t), t.TempDir(), t.TempDir()
	p := r.append(user(uuid.NewString(), "Ada", ""), user(uuid.NewString(), "Bob", ""))
	n := r.node(t.TempDir(), 0).at(p)
	if err := r.node(old, 0).at(p).close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{old, fresh} {
		there, err := datafolder.Exists(dir)
		if err != nil || there != (dir == old) {
			t.Errorf("got exists %v, %v, want %v", there, err, dir == old)
		}
		path := filepath.Join(dir, "copy.tmp")
		copied, err := n.Copy(deadline(t), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := datafolder.Install(dir, path); err != nil {
			t.Fatal(err)
		}
		q := r.node(dir, 0)
		if q.Position() < copied.Position {
			t.Errorf("got a start at position %d, want at least the copy's %d", q.Position(), copied.Position)
		}
		q.at(r.append(user(uuid.NewString(), "Eve", "")))
		if err := q.close(); err != nil {
			t.Fatal(err)
		}
		if got := files(t, dir); len(got) != 2 {
			t.Errorf("got files %v, want 2", got)
		}
	}
}

func TestACopyThatFailsLeavesNoFiles(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	n := r.node(t.TempDir(), 0).at(r.append(user(uuid.NewString(), "Ada", "")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Copy(ctx, filepath.Join(dir, "copy.db")); !errors.Is(err, context.Canceled) || len(files(t, dir)) > 0 {
		t.Errorf("got %v and files %v, want %v and no files", err, files(t, dir), context.Canceled)
	}
	if _, err := n.Copy(t.Context(), filepath.Join(dir, "no", "copy.db")); err == nil {
		t.Error("got no error for a folder that does not exist, want one")
	}
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	var not *offline.NotAProjectionError
	for name, content := range map[string]string{"text": "not a database at all, however long it may be", "empty": ""} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := offline.Inspect(t.Context(), path); !errors.As(err, &not) || not.Path != path {
			t.Errorf("%s: got %v, want a NotAProjectionError of %s", name, err, path)
		}
	}
	if _, err := offline.Inspect(t.Context(), filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
}

func TestFits(t *testing.T) {
	built := offline.Built{Position: 5, Topic: "a", TopicID: "1"}
	for reason, c := range map[refusal.Reason]struct {
		topic string
		info  eventlog.Info
	}{
		"":            {"a", eventlog.Info{ID: "1", Start: 2, End: 5}},
		refusal.Topic: {"a", eventlog.Info{ID: "2", End: 9}},
		refusal.Ahead: {"a", eventlog.Info{ID: "1", End: 4}},
		refusal.Gap:   {"a", eventlog.Info{ID: "1", Start: 6, End: 9}},
	} {
		err := built.CheckTopic(c.topic, c.info)
		var refused *refusal.Error
		if errors.As(err, &refused); err != nil && refused.Reason != reason || err == nil && reason != "" {
			t.Errorf("got %v, want refusal %q", err, reason)
		}
	}
}
