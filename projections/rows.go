package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// A Row is one row of a collection, as a comparison needs it: an entity, or what a
// deleted one has left.
type Row struct {
	ID      string
	Version int64
	// Deleted tells that only the version is left.
	Deleted bool
	// Digest stands for all that is stored; those of all rows add up to the
	// collection's.
	Digest Digest

	claims string
}

// Collections lists, in order, the collections of which anything is stored.
func (s *Snapshot) Collections(ctx context.Context) ([]string, error) {
	names, err := tables(ctx, s.reader)
	if err != nil {
		return nil, s.seen(fmt.Errorf("list the collections: %w", err))
	}
	var more []string
	if err := s.reader.SelectContext(ctx, &more, `SELECT DISTINCT collection FROM _tombstones UNION SELECT collection FROM _digests`); err != nil {
		return nil, s.seen(fmt.Errorf("list the collections: %w", err))
	}
	names = append(names, more...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Rows gives the rows of a collection in the order of their ids, tombstones included. It
// stops at the first error of each, and with ctx. Should an entity be there both alive
// and deleted, it is given twice.
func (s *Snapshot) Rows(ctx context.Context, collection string, each func(Row) error) (err error) {
	defer func() {
		if err != nil {
			err = s.seen(fmt.Errorf("read the rows of %s: %w", collection, err))
		}
	}()
	query := `SELECT id, version, created_at, updated_at, '' AS doc, '' AS claims, 1 AS deleted FROM _tombstones WHERE collection = ?`
	if known, err := tables(ctx, s.reader); err != nil {
		return err
	} else if slices.Contains(known, collection) {
		query = `SELECT id, version, created_at, updated_at, doc, _claims AS claims, 0 AS deleted FROM ` + quote(collection) + ` UNION ALL ` + query
	}
	rows, err := s.reader.QueryContext(ctx, query+` ORDER BY id`, collection)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var scratch, rendered []byte
	var doc sql.RawBytes
	for rows.Next() {
		e := events.Entity{Collection: collection}
		var claims string
		if err := rows.Scan((*packedID)(&e.ID), &e.Version, &e.CreatedAt, &e.UpdatedAt, &doc, &claims, &e.Deleted); err != nil {
			return err
		}
		if !e.Deleted {
			rendered = document.AppendRendered(rendered[:0], e.ID, e.Version, e.CreatedAt, e.UpdatedAt, doc)
			e.Rendered = rendered
		}
		if err := each(Row{e.ID, e.Version, e.Deleted, rowDigest(e, claims, &scratch), claims}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Summaries gives what is kept of each collection beside its rows.
func (s *Snapshot) Summaries(ctx context.Context) (map[string]Summary, error) {
	all, err := loadSummaries(ctx, s.reader)
	if err != nil {
		return nil, s.seen(fmt.Errorf("read the digests: %w", err))
	}
	return all, nil
}

// Summary gives what is kept of one collection beside its rows; zero if it has none.
func (s *Snapshot) Summary(ctx context.Context, collection string) (summary Summary, err error) {
	var sum []byte
	// It takes microseconds, so the context is one that can't end.
	err = s.reader.QueryRowContext(context.WithoutCancel(ctx), `SELECT living, digest FROM _digests WHERE collection = ?`, collection).Scan(&summary.Living, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return Summary{}, nil
	}
	if err != nil {
		return Summary{}, fmt.Errorf("read the digest of %s: %w", collection, err)
	}
	summary.Digest = digestOf(sum)
	return summary, nil
}

func loadSummaries(ctx context.Context, q sqlx.QueryerContext) (map[string]Summary, error) {
	var rows []struct {
		Collection string `db:"collection"`
		Living     int64  `db:"living"`
		Digest     []byte `db:"digest"`
	}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT collection, living, digest FROM _digests`); err != nil {
		return nil, err
	}
	all := make(map[string]Summary, len(rows))
	for _, r := range rows {
		all[r.Collection] = Summary{Living: r.Living, Digest: digestOf(r.Digest)}
	}
	return all, nil
}
