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
		t.Fatalf("preparing a statement: got %d, %v, want 1", got, err)
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
		t.Errorf("running a prepared statement: got %d, want 0", got)
	}
	if _, err := db.Exec(`CREATE TABLE c (d INTEGER)`); err != nil {
		t.Fatal(err)
	}
	if got := counted(run); got == 0 {
		t.Error("running a statement after a change of the schema: got 0, want at least 1, because SQLite compiles it again")
	}
}
