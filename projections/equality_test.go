package projections

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// clashing draws events that conflict in every way, because they share a few entities, claims and
// keys.
func clashing(t *rapid.T) []events.Record {
	n := rapid.IntRange(5, 60).Draw(t, "events")
	log := make([]events.Record, n)
	now := events.NewMemory()
	for i := range log {
		log[i].Offset = int64(i)
		log[i].Timestamp = time.UnixMilli(int64(rapid.IntRange(0, 50).Draw(t, "hour")) * 3600_000)
		if rapid.IntRange(0, 9).Draw(t, "content") == 0 {
			log[i].Content = rapid.SampledFrom([]events.Content{events.Barrier, events.Malformed}).Draw(t, "other")
			continue
		}
		e := events.Event{
			ID: fmt.Sprintf("0193a1a0-0000-7000-9000-%012x", i), Source: "/test", Version: 1, Kind: rapid.SampledFrom([]events.Kind{events.Created, events.Updated, events.Deleted, events.Deleted, events.Restored}).Draw(t, "kind"),
			Collection: rapid.SampledFrom([]string{"users", "orders"}).Draw(t, "collection"),
			EntityID:   fmt.Sprintf("0193a1a0-0000-7000-8000-00000000000%d", rapid.IntRange(0, 3).Draw(t, "entity")),
		}
		if e.Kind != events.Created {
			if e.Version = int64(rapid.IntRange(2, 5).Draw(t, "version")); rapid.Bool().Draw(t, "follows") {
				version, _ := now.Version(e.Collection, e.EntityID)
				e.Version = max(version+1, 2)
			}
		}
		if e.Kind != events.Deleted {
			e.Document = fmt.Appendf(nil, `{"name":"n%d"}`, i)
			for c := range 3 {
				if rapid.Bool().Draw(t, "claim") {
					e.Claims = append(e.Claims, fmt.Sprintf("email:AAAAAAAAAAAAAAAAAAAAA%d", c))
				}
			}
		}
		if k := rapid.IntRange(0, 5).Draw(t, "key"); k < 2 {
			e.IdempotencyKey, e.RequestHash = fmt.Sprintf("key-%d", k), "h"
		}
		log[i].Event = e
		if _, err := now.Take(log[i]); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// A file is a read model that a test writes without a broker.
type file struct {
	t      testing.TB
	db     *sqlite.Database
	w      *applier.Writer
	closed bool
}

func newFile(t testing.TB) *file {
	t.Helper()
	set, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return newFileOf(t, set)
}

func newFileOf(t testing.TB, set *collections.Set) *file {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), datafolder.FileName), set, slog.New(slog.DiscardHandler))
}

func openFile(t testing.TB, path string, set *collections.Set, logger *slog.Logger) *file {
	t.Helper()
	f := &file{t: t}
	var err error
	if f.db, err = sqlite.Open(t.Context(), path, set, logger); err != nil {
		t.Fatal(err)
	}
	if f.w, err = applier.NewWriter(t.Context(), f.db); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f
}

// close closes the file. Only the first call counts.
func (f *file) close() {
	if f.closed {
		return
	}
	f.closed = true
	if err := errors.Join(f.w.Close(), f.db.Close()); err != nil {
		f.t.Error(err)
	}
}

func (f *file) apply(batch ...events.Record) {
	f.t.Helper()
	if _, err := f.w.Apply(f.t.Context(), batch); err != nil {
		f.t.Fatal(err)
	}
}

// forget makes the writer reload from the file everything that it keeps in memory, as a restart
// does.
func (f *file) forget() {
	f.t.Helper()
	if err := f.w.Load(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// dump reads all tables.
func (f *file) dump() map[string][]string {
	f.t.Helper()
	var names []string
	if err := f.db.Lists.Pool.Select(&names, `SELECT name FROM sqlite_schema WHERE type = 'table'`); err != nil {
		f.t.Fatal(err)
	}
	all := map[string][]string{}
	for _, name := range names {
		rows, err := f.db.Lists.Pool.Queryx(`SELECT * FROM ` + schema.Quote(name))
		if err != nil {
			f.t.Fatal(err)
		}
		all[name] = []string{}
		for rows.Next() {
			values, err := rows.SliceScan()
			if err != nil {
				f.t.Fatal(err)
			}
			all[name] = append(all[name], fmt.Sprintf("%v", values))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			f.t.Fatal(err)
		}
		slices.Sort(all[name])
	}
	// Which of the claims are in which table depends on the batches.
	delete(all, "_recent_claims")
	all["_claims"] = heldClaims(f.t, f.db.Lists.Pool)
	return all
}

// heldClaims returns the claims that entities hold according to a file, with their holders, sorted.
func heldClaims(t testing.TB, q sqlx.QueryerContext) (held []string) {
	t.Helper()
	var settled []struct {
		Collection string
		Claim, ID  []byte
	}
	if err := sqlx.SelectContext(t.Context(), q, &settled, `SELECT collection, claim, id FROM _claims`); err != nil {
		t.Fatal(err)
	}
	holders := map[string]string{}
	for _, c := range settled {
		holders[fmt.Sprintf("%s %x", c.Collection, c.Claim)] = rowformat.FormatID(c.ID)
	}
	if _, _, err := rowformat.EachRecentClaim(t.Context(), q, func(collection string, claim, id []byte) {
		key := fmt.Sprintf("%s %x", collection, claim)
		if delete(holders, key); id != nil {
			holders[key] = rowformat.FormatID(id)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for claim, holder := range holders {
		held = append(held, claim+" "+holder)
	}
	slices.Sort(held)
	return held
}

// Read models at the same position hold the same rows, bit for bit, however they were built: in a
// single batch, record by record, or in batches of any size with restarts in between. They also
// hold what the admission rule in its simplest form gives.
func TestReadModelsAreEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := clashing(rt)
		whole, single, often := newFile(t), newFile(t), newFile(t)
		single.w.Recent.Keep(0, 1)
		often.w.Recent.Keep(rapid.IntRange(0, 4).Draw(rt, "recent claims"), rapid.IntRange(1, 4).Draw(rt, "claims at once"))
		whole.apply(log...)
		for _, r := range log {
			single.apply(r)
		}
		for rest := log; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			often.apply(rest[:n]...)
			rest = rest[n:]
			if rapid.Bool().Draw(rt, "restart") {
				often.forget()
			}
		}
		want := whole.dump()
		for name, f := range map[string]*file{"record by record": single, "in batches": often} {
			if got := f.dump(); !reflect.DeepEqual(got, want) {
				rt.Fatalf("%s: got %v\nwant, as in one batch: %v", name, got, want)
			}
		}
		against(rt, want, log)
	})
}

// against compares a dump with events.Memory.
func against(t *rapid.T, got map[string][]string, log []events.Record) {
	model := events.NewMemory()
	for _, r := range log {
		if _, err := model.Take(r); err != nil {
			t.Fatal(err)
		}
	}
	living, dead, held, keys := 0, 0, 0, 0
	for _, use := range model.Keys {
		if model.Time.Sub(use.At) < events.IdempotencyWindow {
			keys++
		}
	}
	for _, e := range model.Entities {
		if e.Deleted {
			dead++
		} else {
			living++
			held += len(e.Claims)
		}
	}
	if n := len(got["users"]) + len(got["orders"]); n != living || len(got["_tombstones"]) != dead || len(got["_claims"]) != held || len(got["_keys"]) != keys {
		t.Fatalf("got %d entities, %d tombstones, %d claims, %d keys, want %d, %d, %d, %d", n, len(got["_tombstones"]), len(got["_claims"]), len(got["_keys"]), living, dead, held, keys)
	}
}
