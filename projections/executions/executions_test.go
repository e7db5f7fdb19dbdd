package executions_test

import (
	"database/sql"
	"slices"
	"testing"

	"github.com/clusterlite/clusterlite/projections/executions"
)

// Each run of a statement is recorded, whether it is prepared or not.
func TestDuring(t *testing.T) {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE t (n)`); err != nil {
		t.Fatal(err)
	}
	prepared, err := db.PrepareContext(t.Context(), `SELECT count(*) FROM t WHERE n > ?`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = prepared.Close() }()
	var n int
	got := executions.During(func() {
		for range 2 {
			if err := prepared.QueryRowContext(t.Context(), 1).Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.ExecContext(t.Context(), `DELETE FROM t`); err != nil {
			t.Fatal(err)
		}
	})
	if want := []string{`SELECT count(*) FROM t WHERE n > ?`, `SELECT count(*) FROM t WHERE n > ?`, `DELETE FROM t`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := executions.During(func() {}); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
}
