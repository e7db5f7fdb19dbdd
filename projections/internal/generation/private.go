package generation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/internal/applier"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A file that is built from the beginning of the log is private until it is complete: nothing
// reads it, and what a crash or a failure leaves of it is removed. So it is written in place, without
// a journal, a write-ahead log and syncs. Its columns and indexes are created at the end, because
// sorting all rows once is cheaper than inserting each in its place. For the same reason the writer
// keeps the changes of claims in memory, up to a bound.

// OpenPrivate creates such a file. Only its writer can be used until Publish.
func OpenPrivate(ctx context.Context, path string, declared *collections.Set, models ...readmodel.Factory) (*Generation, error) {
	db := &sqlite.Database{Path: path}
	if err := db.OpenPrivate(ctx, declared); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w, err := applier.NewWriter(ctx, db, models...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w.BeginBulk(applier.MaxBufferedClaims)
	return New(db, w), nil
}

// Complete writes what the writer of a private file still holds in memory. Then it creates the
// columns and indexes of the declared collections.
func (g *Generation) Complete(ctx context.Context, declared *collections.Set, logger *slog.Logger) error {
	if err := g.Writer.EndBulk(ctx); err != nil {
		return fmt.Errorf("complete %s: %w", g.DB.Path, err)
	}
	return schema.Prepare(ctx, g.Writer.Conn, g.DB.Path, declared, logger)
}

// Publish makes a private file one that can serve: complete, synced, and with a write-ahead log
// from now on.
func (g *Generation) Publish(ctx context.Context, declared *collections.Set, logger *slog.Logger) (err error) {
	if err := g.Complete(ctx, declared, logger); err != nil {
		return err
	}
	for _, setting := range []string{
		// Changing the journal mode is a commit, which syncs the whole file.
		`PRAGMA synchronous = FULL`,
		`PRAGMA journal_mode = WAL`,
		`PRAGMA synchronous = NORMAL`,
	} {
		if _, err := g.Writer.Conn.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("complete %s: %w", g.DB.Path, err)
		}
	}
	if err := g.DB.OpenAround(ctx, g.Writer.Conn); err != nil {
		return err
	}
	g.Writer.WAL = g.DB.WAL
	if err := g.syncJournalFirst(); err != nil {
		return err
	}
	g.files, err = sqlite.HoldFiles(g.DB.Path)
	return err
}
