package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"runtime"

	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3" // the driver

	"github.com/clusterlite/clusterlite/events/collections"
)

// database is the file: one connection that writes, several that read. In WAL mode
// neither waits for the other.
type database struct {
	path   string
	writer *sqlx.DB
	reader *sqlx.DB
	// export is for reads that last: they must not take the connections of the others.
	export *sqlx.DB
}

// exports is how many reads that last there can be at a time. Each keeps the WAL from
// being cut while it runs.
const exports = 4

// openDatabase opens the file, or makes it, and brings its tables to what is declared;
// what that takes, if it lasts, goes to the logger.
func openDatabase(ctx context.Context, path string, declared *collections.Set, logger *slog.Logger) (*database, error) {
	db := &database{path: path}
	var err error
	if db.writer, err = connect(ctx, path, 1, url.Values{
		"_journal_mode": {"WAL"},
		// A commit need not reach the disk: after a power cut the file is some earlier
		// state of itself, and the log has the rest.
		"_synchronous": {"NORMAL"},
		"_txlock":      {"immediate"},
		"_cache_size":  {"-65536"},
	}); err != nil {
		return nil, err
	}
	if err := db.prepare(ctx, declared, logger); err != nil {
		return nil, errors.Join(err, db.close())
	}
	if db.reader, err = connect(ctx, path, max(8, 2*runtime.NumCPU()), url.Values{
		"_query_only": {"true"},
		"_cache_size": {"-16384"},
	}); err != nil {
		return nil, errors.Join(err, db.close())
	}
	if db.export, err = connect(ctx, path, exports, url.Values{"_query_only": {"true"}, "_cache_size": {"-2048"}}); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

// connect opens a pool. Settings belong in the DSN: a PRAGMA on the pool would reach
// one of its connections.
func connect(ctx context.Context, path string, connections int, settings url.Values) (*sqlx.DB, error) {
	settings.Set("_busy_timeout", "10000")
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	dsn := url.URL{Scheme: "file", Path: absolute, RawQuery: settings.Encode()}
	db, err := sqlx.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// prepare makes the tables that are missing and refuses a file of another version.
func (db *database) prepare(ctx context.Context, declared *collections.Set, logger *slog.Logger) error {
	tx, err := db.writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open %s: %w", db.path, err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	var version int
	if err := tx.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return fmt.Errorf("open %s: %w", db.path, err)
	}
	if version != 0 && version != schemaVersion {
		return otherSchema(db.path, version)
	}
	for _, statement := range append(serverTables[:len(serverTables):len(serverTables)], fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion)) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the tables of %s: %w", db.path, err)
		}
	}
	for _, c := range declared.All() {
		if err := declare(ctx, tx, c, logger); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func otherSchema(path string, version int) error {
	return &ErrRefused{Reason: RefusedSchema, Detail: fmt.Sprintf("the file %s has tables of version %d, and this version of ClusterLite makes version %d", path, version, schemaVersion)}
}

func (db *database) close() error {
	var errs []error
	for _, pool := range []*sqlx.DB{db.export, db.reader, db.writer} { // the last to close tidies the WAL
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}
