package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
)

// MergeWALOf merges the write-ahead log of a file into the file.
func MergeWALOf(ctx context.Context, path string) (err error) {
	db, err := Connect(ctx, path, 1, url.Values{"mode": {"rw"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return MergeWAL(ctx, db, path)
}

// MergeWAL merges the write-ahead log into the file, through the only connection that is open
// on it.
func MergeWAL(ctx context.Context, q sqlx.QueryerContext, path string) error {
	var mode string
	if err := sqlx.GetContext(ctx, q, &mode, `PRAGMA journal_mode = DELETE`); err != nil {
		return fmt.Errorf("merge the write-ahead log into %s: %w", path, err)
	}
	if mode != "delete" {
		return fmt.Errorf("merge the write-ahead log into %s: its journal is in mode %s", path, mode)
	}
	return nil
}

// lockPatience is how long a statement waits for a lock, unless a connection has another value.
const lockPatience = 10 * time.Second

// Connect opens a pool of connections. Settings belong in the DSN, because a PRAGMA on the pool
// would reach only one connection.
func Connect(ctx context.Context, path string, connections int, settings url.Values) (*sqlx.DB, error) {
	if !settings.Has("_busy_timeout") {
		settings.Set("_busy_timeout", strconv.FormatInt(lockPatience.Milliseconds(), 10))
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
