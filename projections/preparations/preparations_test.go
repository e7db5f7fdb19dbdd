package preparations_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/clusterlite/clusterlite/projections/preparations"
)

func TestCount(t *testing.T) {
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE a (b INTEGER)`); err != nil {
		t.Fatal(err)
	}
	counted := func(do func()) int64 {
		before := preparations.Count()
		do()
		return preparations.Count() - before
	}
	var insert *sql.Stmt
	if got := counted(func() { insert, err = db.Prepare(`INSERT INTO a VALUES (?)`) }); err != nil || got != 1 {
		t.Fatalf("a statement that is prepared: got %d, %v, want 1", got, err)
	}
	defer func() { _ = insert.Close() }()
	run := func() {
		for i := range 100 {
			if _, err := insert.Exec(i); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := counted(run); got != 0 {
		t.Errorf("a prepared statement that runs: got %d, want 0", got)
	}
	if _, err := db.Exec(`CREATE TABLE c (d INTEGER)`); err != nil {
		t.Fatal(err)
	}
	if got := counted(run); got == 0 {
		t.Error("SQLite compiles a statement again after the schema has changed, and that was not counted")
	}
}
