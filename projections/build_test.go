package projections_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/refusal"
)

func (r *rig) build(path string, until offline.Until) (offline.Built, error) {
	r.t.Helper()
	return offline.Build(deadline(r.t), offline.BuildOptions{Path: path, Log: r.log, Collections: usersOnly(r.t), Until: until})
}

func names(t testing.TB, path string) (names []string) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Select(&names, `SELECT name FROM users ORDER BY name`), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestBuildStopsAtAPosition(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	ada := user(uuid.NewString(), "Ada", claim)
	end := r.append(ada, user(uuid.NewString(), "Bob", ""), then(ada, events.Deleted, 2))
	wants := [][]string{nil, {"Ada"}, {"Ada", "Bob"}, {"Bob"}}
	for p, want := range wants {
		path := filepath.Join(dir, "out.db")
		built, err := r.build(path, offline.UntilPosition(events.Position(p)))
		if err != nil || built.Position != events.Position(p) || built.Collections["users"].Living != int64(len(want)) {
			t.Fatalf("until %d: got %+v, %v, want %d living users at that position", p, built, err, len(want))
		}
		if got := names(t, path); !slices.Equal(got, want) {
			t.Errorf("until %d: got users %v, want %v", p, got, want)
		}
		if got := files(t, dir); !slices.Equal(got, []string{"out.db"}) {
			t.Errorf("got files %v, want only out.db", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.build(filepath.Join(dir, "out.db"), offline.UntilPosition(end+1)); err == nil || len(files(t, dir)) != 0 {
		t.Errorf("beyond the end: got %v and files %v, want an error and no files", err, files(t, dir))
	}
	n := r.node(t.TempDir(), 0).at(end)
	status, err := n.Status(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	built, err := r.build(filepath.Join(dir, "out.db"), offline.Until{})
	if err != nil || built.Position != end || built.Collections["users"].Digest.String() != status.Digests["users"] || built.TopicID != status.TopicID {
		t.Errorf("got %+v, %v, want position %d and the topic and digest of the node: %+v", built, err, end, status)
	}
}

func TestBuildStopsAtATime(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	r.append(user(uuid.NewString(), "Ada", ""))
	first, err := r.build(filepath.Join(dir, "first.db"), offline.Until{})
	if err != nil {
		t.Fatal(err)
	}
	for now := time.Now(); !time.Now().After(now.Add(2 * time.Millisecond)); { // the broker's clock counts milliseconds
		time.Sleep(time.Millisecond)
	}
	r.append(user(uuid.NewString(), "Bob", ""))
	for at, want := range map[time.Time][]string{
		first.LogTime.Add(-time.Millisecond): nil,
		first.LogTime:                        {"Ada"},
		time.Now().Add(time.Hour):            {"Ada", "Bob"},
	} {
		path := filepath.Join(t.TempDir(), "out.db")
		built, err := r.build(path, offline.UntilTime(at))
		if err != nil || built.Position != events.Position(len(want)) {
			t.Fatalf("until %v: got %+v, %v, want position %d", at, built, err, len(want))
		}
		if got := names(t, path); !slices.Equal(got, want) {
			t.Errorf("until %v: got users %v, want %v", at, got, want)
		}
	}
}

func TestBuildReportsVerdicts(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	ada := user(uuid.NewString(), "Ada", claim)
	r.append(ada, user(uuid.NewString(), "Eve", claim), then(ada, events.Updated, 2))
	if _, err := r.log.Barrier(deadline(t)); err != nil {
		t.Fatal(err)
	}
	var got []events.Outcome
	options := offline.BuildOptions{Path: filepath.Join(dir, "out.db"), Log: r.log, Collections: usersOnly(t)}
	options.Judged = func(record events.Record, v events.Verdict) error {
		if record.Offset != int64(len(got)) {
			t.Errorf("got offset %d, want %d", record.Offset, len(got))
		}
		got = append(got, v.Outcome)
		return nil
	}
	if _, err := offline.Build(deadline(t), options); err != nil || !slices.Equal(got, []events.Outcome{events.Admitted, events.Void, events.Admitted, events.Passed}) {
		t.Errorf("got outcomes %v, %v, want admitted, void, admitted, passed", got, err)
	}
	enough := errors.New("enough")
	options.Replace, options.Judged = true, func(events.Record, events.Verdict) error { return enough }
	if _, err := offline.Build(deadline(t), options); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
}

func TestBuildReplacesAFileOnlyWithReplace(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	r.append(user(uuid.NewString(), "Ada", ""))
	path := filepath.Join(dir, "out.db")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.build(path, offline.Until{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want %v", err, fs.ErrExist)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("got content %q, %v, want \"mine\"", b, err)
	}
	if _, err := offline.Build(deadline(t), offline.BuildOptions{Path: path, Log: r.log, Collections: usersOnly(t), Replace: true}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); !slices.Equal(got, []string{"Ada"}) {
		t.Errorf("got users %v, want Ada", got)
	}
}

func TestABuildThatFailsLeavesNoFiles(t *testing.T) {
	r := newRig(t)
	r.append(user(uuid.NewString(), "Ada", ""))
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	cancel()
	_, err := offline.Build(ctx, offline.BuildOptions{Path: filepath.Join(dir, "out.db"), Log: r.log, Collections: usersOnly(t)})
	if !errors.Is(err, context.Canceled) || len(files(t, dir)) != 0 {
		t.Errorf("cancelled: got %v and files %v, want %v and no files", err, files(t, dir), context.Canceled)
	}
	r.produceFormat("3")
	_, err = r.build(filepath.Join(dir, "out.db"), offline.Until{})
	var refused *refusal.Error
	if !errors.As(err, &refused) || refused.Reason != refusal.Format || len(files(t, dir)) != 0 {
		t.Errorf("a newer format: got %v and files %v, want a refusal (%s) and no files", err, files(t, dir), refusal.Format)
	}
	r.deleteRecords(1)
	_, err = r.build(filepath.Join(dir, "out.db"), offline.UntilPosition(1))
	if !errors.As(err, &refused) || refused.Reason != refusal.Gap {
		t.Errorf("a gap: got %v, want a refusal (%s)", err, refusal.Gap)
	}
	if _, err := offline.Build(deadline(t), offline.BuildOptions{Path: filepath.Join(dir, "out.db"), Log: r.open("missing.events"), Collections: usersOnly(t)}); err == nil {
		t.Error("got no error for a topic that does not exist, want one")
	}
}
