package projections_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// people appends three users and an order. Ada is updated, and Eve is deleted.
func (r *rig) people() (ada, bob events.Event, end events.Position) {
	r.t.Helper()
	ada, bob = user(uuid.NewString(), "Ada", claim), user(uuid.NewString(), "Bob", "")
	gone := user(uuid.NewString(), "Eve", "")
	order := user(uuid.NewString(), "an order", "")
	order.Collection = "orders"
	return ada, bob, r.append(ada, bob, gone, order, then(ada, events.Updated, 2), then(gone, events.Deleted, 2))
}

// meddle changes exactly one row of a node's file without the node's knowledge.
func meddle(t testing.TB, dir, statement string, args ...any) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", filepath.Join(dir, datafolder.FileName)+"?_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	result, err := db.Exec(statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%s: got %d rows, %v, want 1", statement, n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func audit(t testing.TB, p *projections.Projection) reads.Audit {
	t.Helper()
	s, err := p.BeginLongRead(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	a, err := s.Audit(deadline(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// differing returns the names of the collections that differ.
func differing(a reads.Audit) map[string]bool {
	all := map[string]bool{}
	for name, c := range a.Collections {
		if c.Differs() {
			all[name] = true
		}
	}
	return all
}

func TestAnAuditFindsChangesMadeOutsideTheNode(t *testing.T) {
	r := newRig(t)
	ada, bob, end := r.people()
	dir := t.TempDir()
	n := r.node(dir, 0).at(end)
	a := audit(t, n.Projection)
	if a.Position != end || len(differing(a)) != 0 || a.Collections["users"].Found.Living != 2 || a.Collections["orders"].Kept.Living != 1 {
		t.Fatalf("untouched: got %+v, want no difference at position %d, 2 users and 1 order", a, end)
	}
	for _, s := range []struct {
		name, change, undo string
		args               []any
	}{
		{"a document", `UPDATE users SET doc = replace(doc, 'Bob', 'Bop') WHERE id = unhex(replace(?, '-', ''))`, `UPDATE users SET doc = replace(doc, 'Bop', 'Bob') WHERE id = unhex(replace(?, '-', ''))`, []any{bob.EntityID}},
		{"a version", `UPDATE users SET version = 9 WHERE id = unhex(replace(?, '-', ''))`, `UPDATE users SET version = 2 WHERE id = unhex(replace(?, '-', ''))`, []any{ada.EntityID}},
		{"a claim", `INSERT INTO _claims VALUES ('users', zeroblob(16), zeroblob(16))`, `DELETE FROM _claims WHERE claim = zeroblob(16)`, nil},
		{"a recent claim", `INSERT INTO _recent_claims VALUES (1000, 'users', zeroblob(32), NULL)`, `DELETE FROM _recent_claims WHERE number = 1000`, nil},
		{"another holder", `UPDATE _recent_claims SET held = CAST(substr(held, 1, 16) || zeroblob(16) AS BLOB) WHERE collection = 'users'`, `UPDATE _recent_claims SET held = CAST(substr(held, 1, 16) || unhex(replace(?, '-', '')) AS BLOB) WHERE collection = 'users'`, nil},
		{"a claim that is gone", `UPDATE _recent_claims SET released = substr(held, 1, 16) WHERE collection = 'users'`, `UPDATE _recent_claims SET released = NULL WHERE collection = 'users'`, nil},
		{"a tombstone", `UPDATE _tombstones SET updated_at = updated_at || ' '`, `UPDATE _tombstones SET updated_at = trim(updated_at)`, nil},
		{"a tombstone of another collection", `INSERT INTO _tombstones VALUES ('ghosts', 'x', 1, '', '')`, `DELETE FROM _tombstones WHERE collection = 'ghosts'`, nil},
		{"a digest", `UPDATE _digests SET living = living + 1 WHERE collection = 'orders'`, `UPDATE _digests SET living = living - 1 WHERE collection = 'orders'`, nil},
		{"an entity that is not there", `INSERT INTO users (id, version, created_at, updated_at, doc, _claims) VALUES ('y', 1, '', '', '{}', '')`, `DELETE FROM users WHERE id = 'y'`, nil},
		{"an entity that is gone", `DELETE FROM orders`, "", nil},
	} {
		meddle(t, dir, s.change, s.args...)
		want := map[string]bool{"users": true}
		switch s.name {
		case "a digest", "an entity that is gone":
			want = map[string]bool{"orders": true}
		case "a tombstone of another collection":
			want = map[string]bool{"ghosts": true}
		}
		if diff := cmp.Diff(want, differing(audit(t, n.Projection))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", s.name, diff)
		}
		if s.undo == "" {
			continue
		}
		if s.name == "another holder" {
			s.args = []any{ada.EntityID}
		}
		meddle(t, dir, s.undo, s.args...)
		if got := differing(audit(t, n.Projection)); len(got) != 0 {
			t.Fatalf("%s, undone: got differences in %v, want none", s.name, got)
		}
	}
}

func TestAnAuditEndsWithItsContextAndItsProgress(t *testing.T) {
	r := newRig(t)
	var batch []events.Event
	for range 20_000 {
		batch = append(batch, user(uuid.NewString(), "N", ""))
	}
	n := r.node(t.TempDir(), 0).at(r.append(batch...))
	s, err := n.BeginLongRead(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	enough := errors.New("enough")
	if _, err := s.Audit(deadline(t), func(done, all int64) error {
		if done <= 0 || all != 20_000 {
			t.Errorf("got progress %d of %d, want more than 0 of 20,000", done, all)
		}
		return enough
	}); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Audit(ctx, nil); err == nil {
		t.Error("got no error from an audit with a cancelled context, want one")
	}
}

// At a checkpoint all nodes remember the same digests, whatever the size of their batches and
// however many writers append.
func TestNodesRememberTheSameAtACheckpoint(t *testing.T) {
	r := newRig(t)
	nodes := []*node{r.node(t.TempDir(), 1), r.node(t.TempDir(), 7), r.node(t.TempDir(), 0)}
	r.people()
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					r.append(user(uuid.NewString(), "N", ""))
				}
			}
		})
	}
	for range 5 {
		position, err := r.log.AppendCheckpoint(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		var first map[string]digest.Summary
		for i, n := range nodes {
			got, err := n.at(position).SummariesAt(position)
			if err != nil || len(got) != 2 {
				t.Fatalf("at %d: got %v, %v, want digests of 2 collections", position, got, err)
			}
			if i == 0 {
				first = got
			} else if diff := cmp.Diff(first, got); diff != "" {
				t.Errorf("at %d (-first node +node %d)\n%s", position, i, diff)
			}
			if _, err := n.SummariesAt(position - 1); !errors.Is(err, projections.ErrForgotten) {
				t.Errorf("at %d, which is no checkpoint: got %v, want %v", position-1, err, projections.ErrForgotten)
			}
		}
	}
	close(stop)
	writers.Wait()
}

func TestOnlyTheLastCheckpointsAreRemembered(t *testing.T) {
	r := newRig(t)
	n := r.node(t.TempDir(), 0)
	var positions []events.Position
	for range 40 {
		p, err := r.log.AppendCheckpoint(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		positions = append(positions, p)
	}
	n.at(positions[39])
	if _, err := n.SummariesAt(positions[39]); err != nil {
		t.Error(err)
	}
	if _, err := n.SummariesAt(positions[0]); !errors.Is(err, projections.ErrForgotten) {
		t.Errorf("got %v, want %v", err, projections.ErrForgotten)
	}
}

// rows reads all rows that a read transaction sees, and closes it.
func rows(t testing.TB, s *reads.Tx, err error) map[string][]reads.Row {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	names, err := s.Collections(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]reads.Row{}
	for _, name := range names {
		if err := s.Rows(deadline(t), name, func(r reads.Row) error { all[name] = append(all[name], r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestAReplicaHoldsTheRowsOfANode(t *testing.T) {
	r := newRig(t)
	_, _, end := r.people()
	replica, err := offline.OpenReplica(deadline(t), t.TempDir(), r.log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replica.Close() }()
	reported := events.Position(0)
	progress := func(at events.Position) { reported = at }
	if err := replica.Advance(deadline(t), end-1, progress); err != nil || replica.Position() != end-1 || reported != end-1 {
		t.Fatalf("got position %d, reported %d, %v, want %d for both", replica.Position(), reported, err, end-1)
	}
	n := r.node(t.TempDir(), 0).at(end)
	theirs, err := n.BeginLongRead(deadline(t))
	want := rows(t, theirs, err)
	if len(want["users"]) != 3 || len(want["orders"]) != 1 {
		t.Fatalf("got rows %v of a node, want 3 users and 1 order", want)
	}
	unexported := cmp.AllowUnexported(reads.Row{})
	s, err := replica.BeginRead(deadline(t))
	if diff := cmp.Diff(want, rows(t, s, err), unexported); diff == "" {
		t.Error("got the rows of the node from a replica that lacks a record, want a difference")
	}
	for range 2 { // the second call has nothing to do
		if err := replica.Advance(deadline(t), end, progress); err != nil {
			t.Fatal(err)
		}
	}
	s, err = replica.BeginRead(deadline(t))
	if diff := cmp.Diff(want, rows(t, s, err), unexported); diff != "" {
		t.Errorf("(-node +replica)\n%s", diff)
	}
}
