package snapshots_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// fill stores n snapshots at the positions 1 to n, the newest now and each older one a day
// earlier.
func (r *rig) fill(n int) (stored []snapshots.Entry) {
	r.t.Helper()
	for i := range n {
		r.write(1)
		b, _ := r.snapshot()
		e := r.put(b)
		at := time.Now().Add(-time.Duration(n-1-i) * 24 * time.Hour)
		if err := os.Chtimes(filepath.Join(r.place, e.Name), at, at); err != nil {
			r.t.Fatal(err)
		}
		stored = append(stored, e)
	}
	return stored
}

// positions returns the positions of the snapshots in the store, the newest first.
func (r *rig) positions() (positions []events.Position) {
	r.t.Helper()
	all, err := r.store.List(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range all {
		positions = append(positions, e.Position)
	}
	return positions
}

// damage overwrites a byte in the middle of a stored snapshot.
func (r *rig) damage(e snapshots.Entry) {
	r.t.Helper()
	path := filepath.Join(r.place, e.Name)
	was, err := os.Stat(path)
	if err != nil {
		r.t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	content[len(content)-20] ^= 0xff
	if err := errors.Join(os.WriteFile(path, content, 0o600), os.Chtimes(path, was.ModTime(), was.ModTime())); err != nil {
		r.t.Fatal(err)
	}
}

func same(t *testing.T, what string, got []events.Position, want ...events.Position) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got the positions %v, want %v", what, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: got the positions %v, want %v", what, got, want)
			return
		}
	}
}

// A snapshot is kept if its age or its number keeps it.
func TestRetentionByAgeAndCount(t *testing.T) {
	r := newRig(t)
	r.fill(6)
	prune := func(limits snapshots.Retention) {
		t.Helper()
		if _, err := r.store.Prune(servicetest.Context(t), limits); err != nil {
			t.Fatal(err)
		}
	}
	prune(snapshots.Retention{Keep: 1, KeepFor: 100 * 24 * time.Hour})
	same(t, "all are young", r.positions(), 6, 5, 4, 3, 2, 1)
	prune(snapshots.Retention{Keep: 1, KeepFor: 4*24*time.Hour - time.Hour})
	same(t, "the age keeps four", r.positions(), 6, 5, 4, 3)
	prune(snapshots.Retention{Keep: 3, KeepFor: time.Hour})
	same(t, "the number keeps three", r.positions(), 6, 5, 4)
	prune(snapshots.Retention{Keep: 1})
	same(t, "the number keeps one", r.positions(), 6)
}

// The newest snapshot that can be restored stays, even if newer ones are damaged.
func TestTheNewestVerifiedSnapshotStays(t *testing.T) {
	r := newRig(t)
	stored := r.fill(5)
	r.damage(stored[4])
	r.damage(stored[3])
	removed, err := r.store.Prune(servicetest.Context(t), snapshots.Retention{Keep: 1})
	if err != nil || len(removed) != 3 {
		t.Errorf("got %v removed, %v, want three", removed, err)
	}
	same(t, "two damaged ones", r.positions(), 5, 3)
	r.damage(stored[2])
	removed, err = r.store.Prune(servicetest.Context(t), snapshots.Retention{Keep: 1})
	if !errors.Is(err, snapshots.ErrNoneVerified) || len(removed) > 0 {
		t.Errorf("got %v removed, %v, want none and %v", removed, err, snapshots.ErrNoneVerified)
	}
	same(t, "only damaged ones", r.positions(), 5, 3)
}

// Verify finds a damaged file, and rows that another program changed before the snapshot was
// created.
func TestVerify(t *testing.T) {
	r := newRig(t)
	r.write(3)
	b, m := r.snapshot()
	e := r.put(b)
	got, built, err := r.store.Verify(servicetest.Context(t), e.Name, nil)
	if err != nil || got.SHA256 != m.SHA256 || built.Position != 3 {
		t.Errorf("got %+v, %+v, %v, want the manifest %+v and position 3", got, built, err, m)
	}
	spoilt := r.spoilt(`UPDATE users SET doc = '{"name":"Mallory"}' WHERE id = (SELECT max(id) FROM users)`)
	r.damage(e)
	var corrupt *snapshots.CorruptError
	if _, _, err := r.store.Verify(servicetest.Context(t), e.Name, nil); !errors.As(err, &corrupt) {
		t.Errorf("a damaged file: got %v, want a CorruptError", err)
	}
	if _, _, err := r.store.Verify(servicetest.Context(t), "clusterlite-00-00000000000000000009.snapshot", nil); err == nil || errors.As(err, &corrupt) {
		t.Errorf("a missing snapshot: got %v, want an error that is no CorruptError", err)
	}
	e = r.put(spoilt) // it replaces the damaged one
	if _, _, err := r.store.Verify(servicetest.Context(t), e.Name, nil); !errors.As(err, &corrupt) {
		t.Errorf("changed rows: got %v, want a CorruptError", err)
	}
}

// spoilt returns a snapshot of a node whose file another program has changed. The store must
// have a snapshot of the log.
func (r *rig) spoilt(statement string) []byte {
	r.t.Helper()
	dir, ctx := r.t.TempDir(), servicetest.Context(r.t)
	if err := (snapshots.Finder{Sources: []string{r.place}, Log: r.log, Logger: slog.New(slog.DiscardHandler)}).Bootstrap(ctx, dir); err != nil {
		r.t.Fatal(err)
	}
	db, err := sqlx.Open("sqlite3", filepath.Join(dir, datafolder.FileName))
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = db.ExecContext(ctx, statement)
	if err := errors.Join(err, db.Close()); err != nil {
		r.t.Fatal(err)
	}
	p, err := projections.Open(ctx, projections.Options{Dir: dir, Log: r.log, Collections: servicetest.Collections(r.t)})
	if err != nil {
		r.t.Fatal(err)
	}
	var b bytes.Buffer
	_, err = snapshots.Write(ctx, &b, p, r.t.TempDir(), "query-2")
	if err := errors.Join(err, p.Close()); err != nil {
		r.t.Fatal(err)
	}
	return b.Bytes()
}
