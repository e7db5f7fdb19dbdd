package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3" // the driver

	"github.com/clusterlite/clusterlite/events/collections"
)

// database is the file: one connection that writes, several that read. In WAL mode
// neither waits for the other.
type database struct {
	path   string
	writer *sqlx.DB
	// points are for reads of single rows, lists for pages, exports for long reads. A slow
	// read of one kind leaves the connections of the others alone.
	points, lists, exports *readers
	wal                    *walCheckpoints
	folded                 map[string][]string // by collection, the properties whose values are folded
}

// openDatabase opens or creates the file and brings its tables to what is declared. It
// logs changes of tables that take long.
func openDatabase(ctx context.Context, path string, declared *collections.Set, logger *slog.Logger) (*database, error) {
	db := &database{path: path}
	if err := db.open(ctx, declared, logger); err != nil {
		return nil, errors.Join(err, db.close())
	}
	return db, nil
}

func (db *database) open(ctx context.Context, declared *collections.Set, logger *slog.Logger) (err error) {
	if db.writer, err = connect(ctx, db.path, 1, url.Values{
		// A commit need not reach the disk: after a power cut the file is some earlier
		// state of itself, and the log has the rest.
		"_synchronous": {"NORMAL"},
		"_txlock":      {"immediate"},
		"_cache_size":  {"-16384"},
		// The writer runs a dozen statements in each batch, and a few for each collection.
		"_stmt_cache_size": {strconv.Itoa(keptStatements)},
		// Nothing in the process keeps this connection waiting. If another process does, the
		// node soon says so; it tries again all the same.
		"_busy_timeout": {strconv.FormatInt(writerPatience.Milliseconds(), 10)},
	}); err != nil {
		return err
	}
	for _, setting := range []string{
		fmt.Sprintf(`PRAGMA page_size = %d`, pageSize), // of a file that is still empty
		`PRAGMA journal_mode = WAL`,
	} {
		if _, err := db.writer.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("open %s: %w", db.path, err)
		}
	}
	if err := prepare(ctx, db.writer, db.path, declared, logger); err != nil {
		return err
	}
	db.folded = foldedIn(declared)
	return db.openAround(ctx, db.writer)
}

// openAround opens all that works beside the connection that writes.
func (db *database) openAround(ctx context.Context, writer sqlx.ExecerContext) (err error) {
	if db.points, err = openReaders(ctx, db.path, pointReaders, 2<<10); err != nil {
		return err
	}
	if db.lists, err = openReaders(ctx, db.path, listReaders, 2<<10); err != nil {
		return err
	}
	if db.exports, err = openReaders(ctx, db.path, exports, 1<<10); err != nil {
		return err
	}
	return db.checkpointInBackground(ctx, writer)
}

// checkpointInBackground has the connection that writes leave checkpoints to another one.
func (db *database) checkpointInBackground(ctx context.Context, writer sqlx.ExecerContext) (err error) {
	for _, setting := range []string{
		`PRAGMA wal_autocheckpoint = 0`,
		// A WAL that a long read let grow is cut once it starts again.
		fmt.Sprintf(`PRAGMA journal_size_limit = %d`, servingBounds.most),
	} {
		if _, err := writer.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("set up the write-ahead log of %s: %w", db.path, err)
		}
	}
	db.wal, err = startCheckpoints(ctx, db.path)
	return err
}

// writerPatience is how long the connection that writes waits for a lock.
const writerPatience = time.Second

// connect opens a pool. Settings belong in the DSN: a PRAGMA on the pool would reach
// one of its connections.
func connect(ctx context.Context, path string, connections int, settings url.Values) (*sqlx.DB, error) {
	if !settings.Has("_busy_timeout") {
		settings.Set("_busy_timeout", "10000")
	}
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

// beginner is a connection, or a pool of one, that begins transactions.
type beginner interface {
	BeginTxx(ctx context.Context, options *sql.TxOptions) (*sqlx.Tx, error)
}

// prepare makes the tables that are missing, brings those of the declared collections to what
// is declared, and refuses a file of another version.
func prepare(ctx context.Context, writer beginner, path string, declared *collections.Set, logger *slog.Logger) error {
	tx, err := writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	var version int
	if err := tx.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if version == convertedVersion {
		return errOldVersion
	}
	if version != 0 && version != schemaVersion {
		return otherSchema(path, version)
	}
	for _, statement := range append(serverTables[:len(serverTables):len(serverTables)], fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion)) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create the tables of %s: %w", path, err)
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
	return &RefusedError{Reason: RefusedSchema, Detail: fmt.Sprintf("the tables of %s have schema version %d, but this version of ClusterLite needs schema version %d", path, version, schemaVersion)}
}

func (db *database) close() error {
	err := db.closeReaders()
	if db.writer != nil { // the last to close checkpoints the WAL
		err = errors.Join(err, db.writer.Close())
	}
	return err
}

// closeReaders closes all connections but the one that writes.
func (db *database) closeReaders() error {
	var errs []error
	if db.wal != nil {
		errs = append(errs, db.wal.stop())
	}
	for _, r := range []*readers{db.exports, db.lists, db.points} {
		if r != nil {
			errs = append(errs, r.close())
		}
	}
	return errors.Join(errs...)
}
