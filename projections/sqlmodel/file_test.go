package sqlmodel_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

func kind(s string) events.Kind { return events.Kind(s) }

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// event returns an event of the collection a.
func event(position int, kind events.Kind, id, document string) sqlmodel.Event {
	e := sqlmodel.Event{Position: events.Position(position), Time: noon.Add(time.Duration(position) * time.Hour), Kind: kind, Collection: "a", ID: id, Version: 1}
	if document != "" {
		e.Document = []byte(document)
	}
	return e
}

func create(t testing.TB, text string) *sqlmodel.File {
	t.Helper()
	f, err := sqlmodel.Create(t.Context(), filepath.Join(t.TempDir(), "m.db"), mustLoad(t, text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// rows returns all rows of a table as text.
func rows(t testing.TB, f *sqlmodel.File, relation string) string {
	t.Helper()
	r, err := sqlmodel.OpenReaders(t.Context(), f.Path(), f.Definition)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	tx, err := r.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Close() }()
	var all []string
	if err := tx.Query(t.Context(), "SELECT * FROM "+relation+" ORDER BY 1", nil, func(row []any) error {
		all = append(all, strings.Trim(fmt.Sprint(row), "[]"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "; ")
}

func TestEventsChangeTables(t *testing.T) {
	f := create(t, `CREATE TABLE t (id TEXT PRIMARY KEY, at INTEGER, day TEXT, name TEXT, before TEXT);
-- on: a.created, a.updated
INSERT OR REPLACE INTO t VALUES (:id, :position, date(:time), :document ->> 'name', :previous ->> 'name');
-- on: a.deleted
DELETE FROM t WHERE id = :id;`)
	changed := event(4, events.Updated, "y", `{"name":"Y2"}`)
	changed.Previous = []byte(`{"name":"Y"}`)
	for _, batch := range [][]sqlmodel.Event{
		{event(1, events.Created, "x", `{"name":"X"}`), event(3, events.Created, "y", `{"name":"Y"}`)},
		{changed, event(5, events.Deleted, "x", "")},
	} {
		if err := f.Apply(t.Context(), batch, batch[len(batch)-1].Position+1); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := rows(t, f, "t"), "y 4 2026-11-24 Y2 Y"; got != want {
		t.Errorf("got rows %q, want %q", got, want)
	}
	if got := f.Position(); got != 6 {
		t.Errorf("got position %d, want 6", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := sqlmodel.Open(t.Context(), f.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if again.Position() != 6 || again.Name != "m" || again.Hash != f.Hash {
		t.Errorf("got position %d of %s %s after reopening, want 6 of m %s", again.Position(), again.Name, again.Hash, f.Hash)
	}
}

// TestAFailedEvent checks that a model keeps what came before the event, and nothing of the
// event itself.
func TestAFailedEvent(t *testing.T) {
	f := create(t, `CREATE TABLE t (id TEXT, n INTEGER CHECK (n < 5));
-- on: a.created
INSERT INTO t VALUES (:id, 0);
INSERT INTO t VALUES (:id, :document ->> 'n');`)
	err := f.Apply(t.Context(), []sqlmodel.Event{
		event(1, events.Created, "x", `{"n":1}`), event(7, events.Created, "y", `{"n":5}`), event(8, events.Created, "z", `{"n":2}`),
	}, 9)
	var failed *sqlmodel.EventError
	if !errors.As(err, &failed) || failed.Event.ID != "y" || failed.Statement.Line != 4 {
		t.Fatalf("got %v, want a failure of y at line 4", err)
	}
	for _, want := range []string{"a.created of y version 1 at position 7", "m.sql:4", "CHECK constraint failed", "INSERT INTO t"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %q, want %q in it", err, want)
		}
	}
	if got, want := rows(t, f, "t"), "x 0; x 1"; got != want {
		t.Errorf("got rows %q, want %q", got, want)
	}
	if got := f.Position(); got != 6 {
		t.Errorf("got position %d, want 6, before the event", got)
	}
}

// TestWhatDependsOnTheNode tries what can only be noticed when an event runs: the clock in a
// document, and the default of a column.
func TestWhatDependsOnTheNode(t *testing.T) {
	for name, c := range map[string]struct{ setup, insert, document, want string }{
		"now in a document":       {"CREATE TABLE t (x);", "INSERT INTO t VALUES (date(:document ->> 'due'));", `{"due":"NOW"}`, "depends on the clock"},
		"no time":                 {"CREATE TABLE t (x);", "INSERT INTO t VALUES (datetime());", `{}`, "depends on the clock"},
		"strftime without time":   {"CREATE TABLE t (x);", "INSERT INTO t VALUES (strftime('%s'));", `{}`, "depends on the clock"},
		"time zone":               {"CREATE TABLE t (x);", "INSERT INTO t VALUES (datetime(:time, 'localtime'));", `{}`, "depends on the time zone"},
		"subseconds of now":       {"CREATE TABLE t (x);", "INSERT INTO t VALUES (unixepoch('subsec'));", `{}`, "depends on the clock"},
		"default of the clock":    {"CREATE TABLE t (x, at TEXT DEFAULT CURRENT_TIMESTAMP);", "INSERT INTO t (x) VALUES (1);", `{}`, "depends on the clock"},
		"default of now":          {"CREATE TABLE t (x, at TEXT DEFAULT (datetime('now')));", "INSERT INTO t (x) VALUES (1);", `{}`, "depends on the clock"},
		"default of chance":       {"CREATE TABLE t (x, at TEXT DEFAULT (random()));", "INSERT INTO t (x) VALUES (1);", `{}`, "depends on chance"},
		"a value that is too big": {"CREATE TABLE t (x);", "INSERT INTO t VALUES (zeroblob(1000000000));", `{}`, "too big"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := load(t, c.setup+"\n-- on: a.created\n"+c.insert)
			if err == nil {
				var f *sqlmodel.File
				if f, err = sqlmodel.Create(t.Context(), filepath.Join(t.TempDir(), "m.db"), d); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = f.Close() }()
				err = f.Apply(t.Context(), []sqlmodel.Event{event(1, events.Created, "x", c.document)}, 1)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestTheFunctionsForDates compares the functions of a model with SQLite's.
func TestTheFunctionsForDates(t *testing.T) {
	f := create(t, `CREATE TABLE t (x);
-- on: a.created
INSERT INTO t VALUES (date(:time) || ' ' || time(:time, '+1 hour') || ' ' || datetime(:time, 'start of month', '+1 month', '-1 day') || ' ' || julianday(:time) || ' ' || unixepoch(:time) || ' ' || strftime('%Y-%m', :time) || ' ' || typeof(date(NULL)) || ' ' || typeof(date('x')));`)
	if err := f.Apply(t.Context(), []sqlmodel.Event{event(0, events.Created, "x", `{}`)}, 1); err != nil {
		t.Fatal(err)
	}
	if got, want := rows(t, f, "t"), "2026-11-24 13:00:00 2026-11-30 00:00:00 2461369.0 1795521600 2026-11 null null"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASlowEventFails(t *testing.T) {
	f := create(t, `CREATE TABLE t (x);
-- on: a.created
INSERT INTO t WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;`)
	sqlmodel.SetTimeout(f, 50*time.Millisecond)
	err := f.Apply(t.Context(), []sqlmodel.Event{event(1, events.Created, "x", `{}`)}, 1)
	var failed *sqlmodel.EventError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "took too long") {
		t.Fatalf("got %v, want an event that took too long", err)
	}
	if f.Position() != 0 {
		t.Errorf("got position %d, want 0", f.Position())
	}
}

// TestASlowBatchIsCommittedInPieces checks that a transaction takes no further event after its time, and that
// the position is that of the last one that it has taken.
func TestASlowBatchIsCommittedInPieces(t *testing.T) {
	f := create(t, "CREATE TABLE t (id TEXT, n INTEGER CHECK (n < 5));\n-- on: a.created\nINSERT INTO t VALUES (:id, :document ->> 'n');")
	f.LimitBatches(-1)
	batch := []sqlmodel.Event{event(2, events.Created, "x", `{"n":1}`), event(4, events.Created, "y", `{"n":2}`), event(7, events.Created, "z", `{"n":3}`)}
	for i, want := range []events.Position{2, 4, 9} {
		if err := f.Apply(t.Context(), batch[i:], 9); err != nil || f.Position() != want {
			t.Fatalf("got position %d, %v, want %d", f.Position(), err, want)
		}
	}
	if got, want := rows(t, f, "t"), "x 1; y 2; z 3"; got != want {
		t.Errorf("got rows %q, want %q", got, want)
	}
	f.LimitBatches(sqlmodel.BatchTime)
	last := []sqlmodel.Event{event(11, events.Created, "v", `{"n":4}`), event(12, events.Created, "w", `{"n":5}`)}
	var failed *sqlmodel.EventError
	if err := f.Apply(t.Context(), last, 12); !errors.As(err, &failed) || f.Position() != 11 {
		t.Errorf("got position %d, %v, want a failure after position 11", f.Position(), err)
	}
}

func TestACancelledBatchChangesNothing(t *testing.T) {
	f := create(t, "CREATE TABLE t (x);\n-- on: a.created\nINSERT INTO t VALUES (1);")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Apply(ctx, []sqlmodel.Event{event(1, events.Created, "x", `{}`)}, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if f.Position() != 0 {
		t.Errorf("got position %d, want 0", f.Position())
	}
}

// TestDigests checks that the digest depends on the rows alone, and not on the batches.
func TestDigests(t *testing.T) {
	const text = `CREATE TABLE t (id TEXT, n);
-- on: a.created
INSERT INTO t VALUES (:id, :document ->> 'n');`
	digest := func(batches ...[]sqlmodel.Event) string {
		f := create(t, text)
		for _, b := range batches {
			if err := f.Apply(t.Context(), b, b[len(b)-1].Position); err != nil {
				t.Fatal(err)
			}
		}
		r, err := sqlmodel.OpenReaders(t.Context(), f.Path(), f.Definition)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		tx, err := r.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Close() }()
		d, err := tx.Digest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	x, y := event(1, events.Created, "x", `{"n":1}`), event(2, events.Created, "y", `{"n":2}`)
	one, two := digest([]sqlmodel.Event{x, y}), digest([]sqlmodel.Event{x}, []sqlmodel.Event{y})
	if one != two {
		t.Errorf("got digests %s and %s of the same events, want one", one, two)
	}
	if other := digest([]sqlmodel.Event{x, event(2, events.Created, "y", `{"n":"2"}`)}); other == one {
		t.Errorf("got the digest %s for a text instead of a number, want another", other)
	}
}
