// Package sqlite opens a read model's SQLite file: one connection that writes, pools of
// connections that read, and a goroutine that runs checkpoints of the write-ahead log. It also
// copies and removes database files.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite/direct"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite/walbuffer"
)

// Database is an open file, with one connection that writes and several that read. In WAL mode
// they do not wait for each other.
type Database struct {
	Path   string
	Writer *sqlx.DB
	// Entities are for reads of single entities, Points for other reads of a few rows, Lists for pages, and
	// Exports for long reads. Slow reads of one kind do not occupy the connections of another.
	Entities               *Limited[*direct.Conn]
	Points, Lists, Exports *Pool
	WAL                    *Checkpointer
	Folded                 map[string][]string // the properties whose values are folded, by collection
}

// Open opens or creates the file and brings its tables in line with the declared collections.
// It logs changes of tables that take long.
func Open(ctx context.Context, path string, declared *collections.Set, logger *slog.Logger) (*Database, error) {
	db := &Database{Path: path}
	if err := db.open(ctx, declared, logger); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *Database) open(ctx context.Context, declared *collections.Set, logger *slog.Logger) (err error) {
	if db.Writer, err = Connect(ctx, db.Path, 1, url.Values{
		"vfs": {walbuffer.VFS},
		// A commit need not reach the disk. After a power loss the file is in some earlier
		// state, and the log has the rest.
		"_synchronous": {"NORMAL"},
		"_txlock":      {"immediate"},
		"_cache_size":  {"-16384"},
		// The writer runs a dozen statements in each batch, and a few for each collection.
		"_stmt_cache_size": {strconv.Itoa(KeptStatements)},
		// Nothing in this process blocks this connection. If another process does, the node
		// reports it soon, and retries.
		"_busy_timeout": {strconv.FormatInt(writerPatience.Milliseconds(), 10)},
	}); err != nil {
		return err
	}
	for _, setting := range []string{
		fmt.Sprintf(`PRAGMA page_size = %d`, schema.PageSize), // has an effect on an empty file only
		`PRAGMA journal_mode = WAL`,
	} {
		if _, err := db.Writer.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("open %s: %w", db.Path, err)
		}
	}
	if err := schema.Prepare(ctx, db.Writer, db.Path, declared, logger); err != nil {
		return err
	}
	db.Folded = schema.FoldedIn(declared)
	return db.OpenAround(ctx, db.Writer)
}

// OpenAround opens everything besides the connection that writes.
func (db *Database) OpenAround(ctx context.Context, writer sqlx.ExecerContext) (err error) {
	db.Entities = newLimited(entityReaders, func(context.Context) (*direct.Conn, error) {
		return direct.Open(db.Path, 256, lockPatience)
	})
	if db.Points, err = openReaders(ctx, db.Path, pointReaders, 1<<10); err != nil {
		return err
	}
	if db.Lists, err = openReaders(ctx, db.Path, ListReaders, 2<<10); err != nil {
		return err
	}
	if db.Exports, err = openReaders(ctx, db.Path, ExportConns, 1<<10); err != nil {
		return err
	}
	return db.checkpointInBackground(ctx, writer)
}

// checkpointInBackground leaves checkpoints to another connection than the one that writes.
func (db *Database) checkpointInBackground(ctx context.Context, writer sqlx.ExecerContext) (err error) {
	for _, setting := range []string{
		`PRAGMA wal_autocheckpoint = 0`,
		// A WAL that grew during a long read is truncated when it restarts.
		fmt.Sprintf(`PRAGMA journal_size_limit = %d`, ServingBounds.Maximum),
	} {
		if _, err := writer.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("set up the write-ahead log of %s: %w", db.Path, err)
		}
	}
	db.WAL, err = startCheckpoints(ctx, db.Path)
	return err
}

// writerPatience is how long the connection that writes waits for a lock.
const writerPatience = time.Second

// Close closes all connections.
func (db *Database) Close() error {
	err := db.closeReaders()
	if db.Writer != nil { // the last connection to close runs a checkpoint of the WAL
		err = errors.Join(err, db.Writer.Close())
	}
	return err
}

// closeReaders closes all connections except the one that writes.
func (db *Database) closeReaders() error {
	var errs []error
	if db.WAL != nil {
		errs = append(errs, db.WAL.Stop())
	}
	for _, r := range []*Pool{db.Exports, db.Lists, db.Points} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	if db.Entities != nil {
		errs = append(errs, db.Entities.Close())
	}
	return errors.Join(errs...)
}

// OpenPrivate opens a new file that is private until it is complete: only its writer is opened,
// and nothing is synced.
func (db *Database) OpenPrivate(ctx context.Context, declared *collections.Set) (err error) {
	if db.Writer, err = Connect(ctx, db.Path, 1, url.Values{
		"vfs":              {walbuffer.VFS}, // for the time when the file serves
		"_synchronous":     {"OFF"},
		"_txlock":          {"immediate"},
		"_cache_size":      {"-65536"},
		"_stmt_cache_size": {strconv.Itoa(KeptStatements)},
		"_busy_timeout":    {strconv.FormatInt(writerPatience.Milliseconds(), 10)},
	}); err != nil {
		return err
	}
	for _, setting := range []string{
		fmt.Sprintf(`PRAGMA page_size = %d`, schema.PageSize),
		`PRAGMA journal_mode = OFF`, // nothing rolls back a batch that fails
	} {
		if _, err := db.Writer.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("open %s: %w", db.Path, err)
		}
	}
	if err := schema.Prepare(ctx, db.Writer, db.Path, &collections.Set{}, nil); err != nil {
		return err
	}
	// Otherwise all values would have to be folded at the end.
	db.Folded = schema.FoldedIn(declared)
	return schema.RecordFolded(ctx, db.Writer, declared)
}
