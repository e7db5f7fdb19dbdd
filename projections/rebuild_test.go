package projections_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/query"
)

// rebuilt waits until the rebuild has ended, and returns its status.
func (n *node) rebuilt() projections.RebuildStatus {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 8*time.Minute) // long enough for a run that measures
	defer cancel()
	for {
		if s, _ := n.Rebuild(); s.State != projections.RebuildRunning {
			return s
		}
		select {
		case <-ctx.Done():
			n.t.Fatal("got a timeout, want the rebuild to end")
		case <-time.After(time.Millisecond): // polling
		}
	}
}

func (n *node) start(o projections.RebuildOptions) {
	n.t.Helper()
	for ctx := deadline(n.t); ; {
		err := n.StartRebuild(o)
		if err == nil {
			return
		}
		// The last rebuild may not have removed the file that it replaced yet.
		if !errors.Is(err, projections.ErrRebuilding) || ctx.Err() != nil {
			n.t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (n *node) rebuild(o projections.RebuildOptions) projections.RebuildStatus {
	n.t.Helper()
	n.start(o)
	return n.rebuilt()
}

// serves returns the name of the file that serves.
func (n *node) serves() string {
	n.t.Helper()
	target, err := os.Readlink(filepath.Join(n.dir, datafolder.FileName))
	if err != nil {
		n.t.Fatal(err)
	}
	return target
}

// holds waits until the folder holds exactly these databases, apart from SQLite's own files.
func (n *node) holds(want ...string) {
	n.t.Helper()
	for ctx := deadline(n.t); ; {
		got := slices.DeleteFunc(files(n.t, n.dir), func(name string) bool { return !strings.HasSuffix(name, ".db") })
		if slices.Equal(got, want) {
			return
		}
		if ctx.Err() != nil {
			n.t.Fatalf("got databases %v, want %v", got, want)
		}
		time.Sleep(time.Millisecond) // polling
	}
}

func (n *node) digest() string {
	n.t.Helper()
	s, err := n.Status(deadline(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	return s.Digests["users"]
}

// many appends creates, updates and deletes of n entities, and returns their first events.
func (r *rig) many(n int) (living []events.Event, end events.Position) {
	r.t.Helper()
	for range n {
		e := user(uuid.NewString(), "Ada", "")
		batch := []events.Event{e, then(e, events.Updated, 2)}
		if len(living)%3 == 2 {
			batch = append(batch, then(e, events.Deleted, 3))
		}
		end = r.append(batch...)
		living = append(living, e)
	}
	return living, end
}

func TestARebuildReplacesTheServingFile(t *testing.T) {
	r := newRig(t)
	_, end := r.many(20)
	n := r.node(t.TempDir(), 0).at(end)
	before := n.digest()
	if _, any := n.Rebuild(); any {
		t.Error("got a rebuild, want none before the first one")
	}
	s := n.rebuild(projections.RebuildOptions{})
	if s.State != projections.RebuildDone || s.Position != end || s.End != end || s.EndedAt == nil || s.SwapSeconds <= 0 || s.Kept != "" || s.Error != "" {
		t.Errorf("got %+v, want it done at position %d, with nothing kept", s, end)
	}
	n.holds("projection.2.db", "projection.db")
	if n.serves() != "projection.2.db" || n.digest() != before {
		t.Errorf("got %s serving with digest %s, want projection.2.db with %s", n.serves(), n.digest(), before)
	}
	_, end = r.many(1)
	before = n.at(end).digest()
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	if again := r.node(n.dir, 0); again.Position() != end || again.digest() != before {
		t.Errorf("after a restart: got position %d and digest %s, want %d and %s", again.Position(), again.digest(), end, before)
	}
}

// The digest that is stored with the rows cannot show this change, because the worker did not make
// it.
func TestARebuildRepairsRowsChangedOutsideTheNode(t *testing.T) {
	r := newRig(t)
	id := uuid.NewString()
	n := r.node(t.TempDir(), 0).at(r.append(user(id, "Ada", "")))
	tamper(t, n.dir, `UPDATE users SET doc = json_set(doc, '$.name', 'Eve')`)
	if e, _, _, err := n.Entity(deadline(t), "users", id); err != nil || !strings.Contains(string(e.Rendered), "Eve") {
		t.Fatalf("got %s, %v before the rebuild, want the changed name Eve", e.Rendered, err)
	}
	if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildDone {
		t.Errorf("got %+v, want it done", s)
	}
	if e, _, _, err := n.Entity(deadline(t), "users", id); err != nil || !strings.Contains(string(e.Rendered), "Ada") {
		t.Errorf("got %s, %v, want the name Ada", e.Rendered, err)
	}
}

func TestRowsThatDifferAreNotReplacedUnlessForced(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	_, end := r.many(5)
	if err := r.node(dir, 0).at(end).close(); err != nil {
		t.Fatal(err)
	}
	tamper(t, dir, `UPDATE _digests SET digest = zeroblob(32)`)
	n := r.node(dir, 0).at(end)
	wrong := n.digest()
	s := n.rebuild(projections.RebuildOptions{})
	if s.State != projections.RebuildFailed || !slices.Equal(s.Differs, []string{"users"}) || !strings.Contains(s.Error, "users") {
		t.Errorf("got %+v, want it failed because users differ", s)
	}
	n.holds("projection.1.db", "projection.db")
	if n.digest() != wrong {
		t.Error("got another digest, want the same file to serve")
	}
	s = n.rebuild(projections.RebuildOptions{Force: true})
	if s.State != projections.RebuildDone || !slices.Equal(s.Differs, []string{"users"}) || s.Kept != "projection.1.db" {
		t.Errorf("got %+v, want it done with projection.1.db kept, and users reported as different", s)
	}
	n.holds("projection.1.db", "projection.2.db", "projection.db", "projection.previous.db")
	if n.digest() == wrong {
		t.Error("got the same digest, want the rebuilt file to serve")
	}
	// Going back to the kept file needs force as well.
	if s := n.rebuild(projections.RebuildOptions{Back: true}); s.State != projections.RebuildFailed {
		t.Errorf("got %+v, want it failed", s)
	}
	n.holds("projection.1.db", "projection.2.db", "projection.db", "projection.previous.db")
	if s := n.rebuild(projections.RebuildOptions{Back: true, Force: true}); s.State != projections.RebuildDone || n.digest() != wrong {
		t.Errorf("got %+v and digest %s, want it done with digest %s", s, n.digest(), wrong)
	}
	n.holds("projection.1.db", "projection.db")
}

func TestAKeptFileCatchesUpAndServesAgain(t *testing.T) {
	r := newRig(t)
	_, end := r.many(5)
	n := r.node(t.TempDir(), 0).at(end)
	if s := n.rebuild(projections.RebuildOptions{Back: true}); s.State != projections.RebuildFailed || !strings.Contains(s.Error, datafolder.ErrNothingKept.Error()) {
		t.Errorf("nothing kept: got %+v, want it failed with %v", s, datafolder.ErrNothingKept)
	}
	if s := n.rebuild(projections.RebuildOptions{Keep: true}); s.Kept != "projection.1.db" {
		t.Errorf("got %+v, want projection.1.db kept", s)
	}
	n.holds("projection.1.db", "projection.2.db", "projection.db", "projection.previous.db")
	_, end = r.many(5)
	digest := n.at(end).digest()
	if s := n.rebuild(projections.RebuildOptions{Back: true}); s.State != projections.RebuildDone || s.Position != end {
		t.Errorf("got %+v, want it done at position %d", s, end)
	}
	n.holds("projection.1.db", "projection.db")
	if n.digest() != digest || n.Position() != end {
		t.Errorf("got position %d and digest %s, want %d and %s", n.Position(), n.digest(), end, digest)
	}
	_, end = r.many(1)
	n.at(end)
}

func TestARebuildFromAFile(t *testing.T) {
	r := newRig(t)
	_, half := r.many(5)
	file := filepath.Join(t.TempDir(), "half.db")
	if _, err := r.build(file, offline.UntilPosition(half)); err != nil {
		t.Fatal(err)
	}
	_, end := r.many(5)
	n := r.node(t.TempDir(), 0).at(end)
	if s := n.rebuild(projections.RebuildOptions{From: offline.FromFile(file)}); s.State != projections.RebuildDone || s.Position != end {
		t.Errorf("got %+v, want it done at position %d", s, end)
	}
	stranger := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(stranger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{stranger, stranger + ".missing"} {
		if s := n.rebuild(projections.RebuildOptions{From: offline.FromFile(from)}); s.State != projections.RebuildFailed || s.Error == "" {
			t.Errorf("from %s: got %+v, want it failed", from, s)
		}
	}
	n.holds("projection.2.db", "projection.db")
}

func TestALongReadEndsOnTheFileThatItBeganOn(t *testing.T) {
	r := newRig(t)
	_, end := r.many(5)
	n := r.node(t.TempDir(), 0).at(end)
	read, err := n.BeginLongRead(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildDone {
		t.Errorf("got %+v, want it done", s)
	}
	_, after := r.many(5)
	n.at(after)
	if err := n.StartRebuild(projections.RebuildOptions{}); !errors.Is(err, projections.ErrRebuilding) {
		t.Errorf("another rebuild: got %v, want %v", err, projections.ErrRebuilding)
	}
	count, err := read.Count(deadline(t), "users", query.Query{})
	if err != nil || count != 4 || read.At != end {
		t.Errorf("got %d users at position %d, %v, want 4 at %d", count, read.At, err, end)
	}
	n.holds("projection.1.db", "projection.2.db", "projection.db")
	if err := read.Close(); err != nil {
		t.Error(err)
	}
	n.holds("projection.2.db", "projection.db")
}
