package projections

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// oldFile creates a file of version 1 as a crash leaves it: in WAL mode, with a log beside it
// that no checkpoint has copied.
func oldFile(t *testing.T, path string, more ...string) {
	t.Helper()
	script, err := os.ReadFile("testdata/version1.sql")
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(t.TempDir(), "made.db")
	db, err := sqlite.Connect(t.Context(), made, 1, url.Values{"_journal_mode": {"WAL"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append([]string{`PRAGMA wal_autocheckpoint = 0`, string(script)}, more...) {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(sqlite.CopyWithJournals(made, path), db.Close()); err != nil {
		t.Fatal(err)
	}
	if size, err := fileSize(path + "-wal"); err != nil || size == 0 {
		t.Fatalf("got a log of %d bytes, %v, want one that is not empty", size, err)
	}
}

func openConverted(t *testing.T, path string) *generation.Generation {
	t.Helper()
	declared, err := collections.Load("")
	if err != nil {
		t.Fatal(err)
	}
	g, err := generation.Open(t.Context(), path, declared, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// oldDigests are the digests that version 1 stored, by collection.
var oldDigests = map[string]string{
	"orders": "6fd683274a86cfd35244c4d57f006206587c295caf7ea81f1ad0da0dde53ab75",
	"users":  "c071727ed42cac4decfff8cba66a5c6f746e6e4fcddc87a3d1ad09b0cc038ba9",
}

func TestAnOldFileIsConverted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "projection.1.db")
	oldFile(t, path)
	if err := os.WriteFile(path+".converting", []byte("left by a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := openConverted(t, path)
	if left, err := filepath.Glob(path + ".converting*"); err != nil || len(left) > 0 {
		t.Errorf("got leftover files %v, %v, want none", left, err)
	}
	w := g.Writer
	if w.Position != 21 || w.LogTime.UnixMilli() != 1764000021000 || w.Last != "20 1764000021000 " || w.Meta[applier.MetaTopicID] != "dG9waWM" || w.Meta[applier.MetaCaughtUp] != "1" {
		t.Errorf("got checkpoint %d, %v, %q, %v, want the one that version 1 stored", w.Position, w.LogTime, w.Last, w.Meta)
	}
	s, err := g.BeginLongRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	audit, err := s.Audit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range oldDigests {
		if a := audit.Collections[name]; a.Found.Digest.String() != want || a.Differs() {
			t.Errorf("%s: got %+v, want digest %s", name, a, want)
		}
	}
	var rendered []string
	for _, name := range []string{"orders", "users"} {
		if err := s.Entities(t.Context(), name, "", func(e events.Entity) error {
			rendered = append(rendered, string(e.Rendered))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{
		`{"id":"0193a1a0-0000-7000-8000-000000000005","version":12,"created_at":"2025-11-24T16:00:07.000Z","updated_at":"2025-11-24T16:00:21.000Z","n":12}`,
		`{"id":"0193a1a0-0000-7000-8000-000000000006","version":1,"created_at":"2025-11-24T16:00:08.000Z","updated_at":"2025-11-24T16:00:08.000Z","lines": [1, 2.50], "note":"a } in a text"}`,
		`{"id":"0193a1a0-0000-7000-8000-000000000001","version":2,"created_at":"2025-11-24T16:00:01.000Z","updated_at":"2025-11-24T16:00:05.000Z","name":"Ada Lovelace","email":"ada@example.org"}`,
		`{"id":"0193a1a0-0000-7000-8000-000000000002","version":1,"created_at":"2025-11-24T16:00:02.000Z","updated_at":"2025-11-24T16:00:02.000Z","name":"Bob","email":"Bob@Example.com"}`,
	}; !slices.Equal(rendered, want) {
		t.Errorf("got %q, want %q", rendered, want)
	}
	p := &Projection{options: Options{}.withDefaults()}
	p.serving.Store(g)
	t.Cleanup(p.rebuilds.Wait) // the claim filter is filled from the file in the background
	if holder, err := p.Holder(t.Context(), "users", "email:qURptnXHyY9o2ThhPZuoqQ"); err != nil || holder != "0193a1a0-0000-7000-8000-000000000002" {
		t.Errorf("got holder %q of the claim, %v, want Bob", holder, err)
	}
	if use, used, err := p.KeyUse(t.Context(), "key-1"); err != nil || !used || use.ID != "0193a1a0-0000-7000-8000-000000000002" {
		t.Errorf("got use %+v of the idempotency key, used %v, %v, want it used by Bob", use, used, err)
	}
	if voids, err := p.Voids(t.Context(), 10); err != nil || len(voids) != 1 || voids[0].Offset != 3 {
		t.Errorf("got void records %+v, %v, want one at offset 3", voids, err)
	}
}

// The oldest files have no folded values.
func TestAFileWithoutFoldedValuesIsConverted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "projection.1.db")
	oldFile(t, path, `DROP INDEX "users._folded_email"`, `DROP INDEX "users._folded"`, `ALTER TABLE users DROP COLUMN _folded_email`,
		`ALTER TABLE users DROP COLUMN _folded`, `DELETE FROM _meta WHERE name LIKE 'folded.%'`)
	g := openConverted(t, path)
	var folded []string
	if err := g.Writer.Conn.SelectContext(t.Context(), &folded, `SELECT _folded FROM users ORDER BY id`); err != nil || !slices.Equal(folded, []string{"{}", `{"email":"bob@example.com"}`}) {
		t.Errorf("got folded values %q, %v, want one of bob@example.com", folded, err)
	}
}

// A file whose rows differ from its digests is not converted, and does not change.
func TestADamagedOldFileStaysAsItIs(t *testing.T) {
	for name, damage := range map[string]string{
		"a document":  `UPDATE users SET doc = replace(doc, 'Bob', 'Bop')`,
		"a version":   `UPDATE orders SET version = 13 WHERE version = 12`,
		"a claim":     `DELETE FROM _claims`,
		"a tombstone": `DELETE FROM _tombstones`,
		"an id":       `UPDATE users SET id = 'x' WHERE version = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "projection.1.db")
			oldFile(t, path, damage)
			err := offline.Convert(t.Context(), path)
			if err == nil {
				t.Fatal("got no error, want the file not to be converted")
			}
			var fault *storagefault.Error
			if name != "an id" && (!errors.As(err, &fault) || fault.Fault != storagefault.Corrupt) {
				t.Errorf("got %v, want a corrupt file", err)
			}
			if version, err := tableVersion(t, path); err != nil || version != 1 {
				t.Errorf("got a file of version %d, %v, want 1", version, err)
			}
			if left, err := filepath.Glob(path + ".converting*"); err != nil || len(left) > 0 {
				t.Errorf("got leftover files %v, %v, want none", left, err)
			}
		})
	}
}

func TestConvertLeavesOtherFilesAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "projection.1.db")
	for _, content := range [][]byte{nil, bytes.Repeat([]byte("no database "), 1000)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		err := offline.Convert(context.Background(), path)
		if not := (*offline.NotAProjectionError)(nil); err != nil && !errors.As(err, &not) || err == nil && content != nil {
			t.Errorf("%d bytes: got %v, want a NotAProjectionError", len(content), err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%d bytes: got a changed file or %v, want the same content", len(content), err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := offline.Convert(context.Background(), path); err == nil {
		t.Error("got no error for a file that does not exist, want one")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("got leftover files %v, %v, want none", left, err)
	}
}

// Loss compares two files even if one of them is of an old version.
func TestTheLossOfAnOldFile(t *testing.T) {
	dir := t.TempDir()
	old, converted := filepath.Join(dir, "old.db"), filepath.Join(dir, "converted.db")
	oldFile(t, old)
	oldFile(t, converted)
	if err := offline.Convert(t.Context(), converted); err != nil {
		t.Fatal(err)
	}
	if lost, err := datafolder.Loss(t.Context(), old, converted); err != nil || lost != nil {
		t.Errorf("the same rows: got loss %v, %v, want none", lost, err)
	}
	db, err := sqlite.Connect(t.Context(), converted, 1, url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `DELETE FROM users WHERE version = 1`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	lost, err := datafolder.Loss(t.Context(), old, converted)
	if err != nil || lost == nil || fmt.Sprint(lost.Missing) != "map[users:1]" {
		t.Errorf("one user less: got loss %v, %v, want one user missing", lost, err)
	}
}

// tableVersion reads the version of a file's tables.
func tableVersion(t testing.TB, path string) (version int, err error) {
	t.Helper()
	db, err := sqlite.Connect(t.Context(), path, 1, url.Values{"mode": {"rw"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.Get(&version, `PRAGMA user_version`)
	return version, err
}
