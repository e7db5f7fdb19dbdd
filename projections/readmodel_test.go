package projections_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/readmodel"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// counts is a read model that counts the admitted events of each collection.
type counts struct{ fail *atomic.Bool }

func (counts) Name() string { return "counts" }

func (counts) Serves() []string { return []string{"counts"} }

func (counts) Load(ctx context.Context, tx readmodel.Tx) (at events.Position, err error) {
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS _counts (collection TEXT PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID`,
		`CREATE TABLE IF NOT EXISTS _counts_position (one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL)`,
		`INSERT OR IGNORE INTO _counts_position (one, position) VALUES (1, 0)`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return 0, err
		}
	}
	return at, sqlx.GetContext(ctx, tx, &at, `SELECT position FROM _counts_position`)
}

func (c counts) Apply(ctx context.Context, tx readmodel.Tx, batch []readmodel.Judged) error {
	for _, j := range batch {
		if !j.Admitted() {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO _counts (collection, events) VALUES (?, 1) ON CONFLICT (collection) DO UPDATE SET events = events + 1`, j.Record.Event.Collection); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE _counts_position SET position = ?`, int64(batch[len(batch)-1].Record.Position())); err != nil {
		return err
	}
	if c.fail != nil && c.fail.Load() {
		return errors.New("the read model fails")
	}
	return nil
}

// readCounts reads the counts and the positions of the model and the projection at one moment.
func readCounts(t testing.TB, n *node) (got map[string]int64, at, position events.Position) {
	t.Helper()
	tx, err := n.BeginRead(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Close() }()
	return countsIn(t, tx)
}

func countsIn(t testing.TB, tx *reads.Tx) (got map[string]int64, at, position events.Position) {
	t.Helper()
	var rows []struct {
		Collection string
		Events     int64
	}
	if err := tx.Select(deadline(t), &rows, `SELECT collection, events FROM _counts`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Get(deadline(t), &at, `SELECT position FROM _counts_position`); err != nil {
		t.Fatal(err)
	}
	got = map[string]int64{}
	for _, r := range rows {
		got[r.Collection] = r.Events
	}
	return got, at, tx.At
}

// history appends three admitted events and one void event of users, and two events of orders.
func (r *rig) history() (end events.Position) {
	ada := user(uuid.NewString(), "Ada", claim)
	bob := user(uuid.NewString(), "Bob", claim) // the claim is taken, so this event is void
	order := user(uuid.NewString(), "an order", "")
	order.Collection = "orders"
	return r.append(ada, then(ada, events.Updated, 2), bob, order, then(order, events.Deleted, 2), user(uuid.NewString(), "Cy", ""))
}

// A second read model gets the same events from the same worker, in the same transactions.
func TestAFurtherReadModel(t *testing.T) {
	r := newRig(t)
	end := r.history()
	n := r.nodeWith(projections.Options{MaxBatch: 2, ReadModels: []readmodel.Factory{func() readmodel.Model { return counts{} }}}).at(end)
	got, at, position := readCounts(t, n)
	if want := (map[string]int64{"users": 3, "orders": 2}); !maps.Equal(got, want) || at != end || position != end {
		t.Errorf("got %v at position %d, the projection at %d, want %v at %d", got, at, position, want, end)
	}
	for what, want := range map[string]error{"counts": nil, "entities": nil, "lists": nil, "sums": projections.ErrNotServed} {
		if err := n.Serves(what); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	// The model keeps its rows over a restart and resumes from its position.
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n = r.nodeWith(projections.Options{Dir: n.dir, ReadModels: []readmodel.Factory{func() readmodel.Model { return counts{} }}})
	end = r.append(user(uuid.NewString(), "Di", ""))
	n.at(end)
	if got, at, _ := readCounts(t, n); got["users"] != 4 || at != end || n.Serves("counts") != nil {
		t.Errorf("after a restart: got %v at %d, %v, want 4 users at %d", got, at, n.Serves("counts"), end)
	}
}

// A read model that fails stops all of them, because a batch is written to all tables or to none.
func TestAFurtherReadModelFails(t *testing.T) {
	r := newRig(t)
	var fail atomic.Bool
	fail.Store(true)
	n := r.nodeWith(projections.Options{ReadModels: []readmodel.Factory{func() readmodel.Model { return counts{&fail} }}})
	end := r.history()
	until(t, "failure", func() bool { return n.State() == projections.StateFailing })
	if err := n.Serves("entities"); err == nil || !strings.Contains(err.Error(), "the read model fails") {
		t.Errorf("while it fails: got %v, want the failure", err)
	}
	if got, at, position := readCounts(t, n); len(got) != 0 || at != position || living(t, n) != 0 {
		t.Errorf("while it fails: got %v at %d, %d entities at %d, want none", got, at, living(t, n), position)
	}
	fail.Store(false)
	n.at(end)
	until(t, "recovery", func() bool { return n.Serves("counts") == nil })
	if got, at, _ := readCounts(t, n); got["users"] != 3 || got["orders"] != 2 || at != end {
		t.Errorf("after it: got %v at %d, want 3 users and 2 orders at %d", got, at, end)
	}
}

// A file that was written without a read model does not serve it until it is rebuilt.
func TestAFurtherReadModelOfAnExistingFile(t *testing.T) {
	r := newRig(t)
	end := r.history()
	n := r.node(t.TempDir(), 0).at(end)
	if err := n.Serves("counts"); !errors.Is(err, projections.ErrNotServed) {
		t.Errorf("without the model: got %v, want %v", err, projections.ErrNotServed)
	}
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n = r.nodeWith(projections.Options{Dir: n.dir, ReadModels: []readmodel.Factory{func() readmodel.Model { return counts{} }}})
	next := r.append(user(uuid.NewString(), "Di", ""))
	n.at(next)
	behind := (*readmodel.BehindError)(nil)
	if err := n.Serves("counts"); !errors.As(err, &behind) || behind.Position != 0 || behind.Want != end {
		t.Errorf("with the model: got %v, want that it holds 0 of %d records", err, end)
	}
	if got, at, _ := readCounts(t, n); len(got) != 0 || at != 0 {
		t.Errorf("with the model: got %v at %d, want nothing until a rebuild", got, at)
	}
	if err := n.Serves("entities"); err != nil {
		t.Errorf("entities: got %v, want them served", err)
	}
	if s := n.rebuild(projections.RebuildOptions{}); s.State != projections.RebuildDone {
		t.Fatalf("got %+v, want a rebuild", s)
	}
	if got, at, _ := readCounts(t, n); got["users"] != 4 || got["orders"] != 2 || at != next || n.Serves("counts") != nil {
		t.Errorf("rebuilt: got %v at %d, %v, want 4 users and 2 orders at %d", got, at, n.Serves("counts"), next)
	}
}

// Two read models must differ in their names and in what they serve.
func TestReadModelsDiffer(t *testing.T) {
	r := newRig(t)
	make := func() readmodel.Model { return counts{} }
	if p, err := projections.Open(deadline(t), projections.Options{Dir: t.TempDir(), Log: r.log, Collections: usersOnly(t), ReadModels: []readmodel.Factory{make, make}}); err == nil {
		t.Errorf("got %v and no error, want an error for two models with one name", p)
	}
}
