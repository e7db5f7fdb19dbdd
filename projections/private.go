package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"

	"github.com/clusterlite/clusterlite/events/collections"
)

// A file that is built from the beginning of the log is private until it is complete: no one
// reads it, and what a crash leaves of it is removed. So it is written straight into place,
// without a write-ahead log and without waiting for the disk. Its columns and indexes are made
// in the end, since to sort all rows once is cheaper than to put each one in its place.

// openPrivate makes such a file. Only its writer can be used, until publish.
func openPrivate(ctx context.Context, path string, declared *collections.Set) (*generation, error) {
	db := &database{path: path}
	if err := db.openPrivate(ctx, declared); err != nil {
		return nil, errors.Join(err, db.close())
	}
	w, err := newWriter(ctx, db)
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return newGeneration(db, w), nil
}

func (db *database) openPrivate(ctx context.Context, declared *collections.Set) (err error) {
	if db.writer, err = connect(ctx, db.path, 1, url.Values{
		"_synchronous":     {"OFF"},
		"_txlock":          {"immediate"},
		"_cache_size":      {"-65536"},
		"_stmt_cache_size": {strconv.Itoa(keptStatements)},
		"_busy_timeout":    {strconv.FormatInt(writerPatience.Milliseconds(), 10)},
	}); err != nil {
		return err
	}
	for _, setting := range []string{
		fmt.Sprintf(`PRAGMA page_size = %d`, pageSize),
		`PRAGMA journal_mode = MEMORY`, // a batch that fails is rolled back, but not after a crash
	} {
		if _, err := db.writer.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("open %s: %w", db.path, err)
		}
	}
	if err := prepare(ctx, db.writer, db.path, &collections.Set{}, nil); err != nil {
		return err
	}
	db.folded = foldedIn(declared) // or they would all have to be folded in the end
	return nil
}

// complete gives a private file the columns and indexes of the declared collections.
func (g *generation) complete(ctx context.Context, declared *collections.Set, logger *slog.Logger) error {
	return prepare(ctx, g.writer.conn, g.db.path, declared, logger)
}

// publish has a private file be one that can serve: complete, on the disk, and with a
// write-ahead log from now on.
func (g *generation) publish(ctx context.Context, declared *collections.Set, logger *slog.Logger) (err error) {
	if err := g.complete(ctx, declared, logger); err != nil {
		return err
	}
	for _, setting := range []string{
		// The change of the journal's mode is a commit, which has the whole file reach the disk.
		`PRAGMA synchronous = FULL`,
		`PRAGMA journal_mode = WAL`,
		`PRAGMA synchronous = NORMAL`,
	} {
		if _, err := g.writer.conn.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("complete %s: %w", g.db.path, err)
		}
	}
	if err := g.db.openAround(ctx, g.writer.conn); err != nil {
		return err
	}
	g.writer.wal = g.db.wal
	g.files, err = holdFiles(g.db.path)
	return err
}
