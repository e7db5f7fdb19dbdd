package clitest

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"
)

// Count returns the number of users in an SQLite file whose names begin with N.
func Count(t testing.TB, path string) (n int) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Get(&n, `SELECT count(*) FROM users WHERE name LIKE 'N%'`), db.Close()); err != nil {
		t.Fatal(err)
	}
	return n
}

// Database opens the projection file in a data folder until the end of the test.
func Database(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", filepath.Join(dir, "projection.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Files returns the contents of all files in a folder except its lock, by path.
func Files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// WantSameFiles reports how two results of [Files] differ.
func WantSameFiles(t testing.TB, before, after map[string]string) {
	t.Helper()
	for path := range before {
		if after[path] != before[path] {
			t.Errorf("got a changed or missing file %s, want it unchanged", path)
		}
	}
	for path := range after {
		if _, there := before[path]; !there {
			t.Errorf("got a new file %s, want none", path)
		}
	}
}
