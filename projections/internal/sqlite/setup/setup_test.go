package setup_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite/setup"
)

// SQLite keeps no memory statistics, so no allocation takes their lock.
func TestNoMemoryStatistics(t *testing.T) {
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "file.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(`CREATE TABLE t (a)`); err != nil {
		t.Fatal(err)
	}
	if got := setup.MemoryUsed(); got != 0 {
		t.Errorf("got %d bytes in use with a connection open, want 0", got)
	}
}
