package reads

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
)

// Entities passes the living entities of a collection, declared or not, to each, in the order
// of their ids, beginning after an id. An empty after precedes all ids. The entities stay
// valid. Entities stops at the first error of each and returns it, and when ctx ends.
func (s *Tx) Entities(ctx context.Context, collection, after string, each func(events.Entity) error) error {
	var there bool
	if err := s.conn.GetContext(ctx, &there, `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?`, collection); err != nil {
		return s.observed(fmt.Errorf("find the table of %s: %w", collection, err))
	}
	if !there {
		return nil // no record of the log has named the collection yet
	}
	above := listsql.Condition(query.Filter{Column: query.IDColumn(), Op: query.Greater, Values: []any{after}})
	rows, err := s.conn.QueryContext(ctx, `SELECT `+rowformat.LivingColumns+` FROM `+schema.Quote(collection)+` WHERE `+above.Text+` ORDER BY id`, above.Args...)
	if err != nil {
		return s.observed(fmt.Errorf("read the entities of %s: %w", collection, err))
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e, err := rowformat.ScanEntity(rows, collection)
		if err != nil {
			return s.observed(s.unreadable(ctx, fmt.Errorf("read the entities of %s: %w", collection, err)))
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return s.observed(rows.Err())
}

// A Row is a row of a collection, reduced to what a comparison needs. It stands for an entity,
// or for the tombstone of a deleted one.
type Row struct {
	ID      string
	Version int64
	// Deleted means that only the version is left.
	Deleted bool
	// Digest covers everything that is stored in the row. The digests of all rows add up to
	// that of the collection.
	Digest digest.Sum

	claims string
}

// Collections returns the names of all collections with stored rows or digests, sorted.
func (s *Tx) Collections(ctx context.Context) ([]string, error) {
	names, err := schema.Tables(ctx, s.conn)
	if err != nil {
		return nil, s.observed(fmt.Errorf("list the collections: %w", err))
	}
	var more []string
	if err := s.conn.SelectContext(ctx, &more, `SELECT DISTINCT collection FROM _tombstones UNION SELECT collection FROM _digests`); err != nil {
		return nil, s.observed(fmt.Errorf("list the collections: %w", err))
	}
	names = append(names, more...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Rows passes the rows of a collection to each, in the order of their ids, including
// tombstones. It stops at the first error of each, and when ctx ends. An entity that is stored
// both as living and as deleted is passed twice.
func (s *Tx) Rows(ctx context.Context, collection string, each func(Row) error) error {
	failed := func(err error) error { return fmt.Errorf("read the rows of %s: %w", collection, err) }
	text := `SELECT ` + rowformat.DeletedColumns + ` FROM _tombstones WHERE collection = ?`
	if known, err := schema.Tables(ctx, s.conn); err != nil {
		return s.observed(failed(err))
	} else if slices.Contains(known, collection) {
		text = `SELECT ` + rowformat.LivingColumns + ` FROM ` + schema.Quote(collection) + ` UNION ALL ` + text
	}
	rows, err := s.conn.QueryContext(ctx, text+` ORDER BY id`, collection)
	if err != nil {
		return s.observed(failed(err))
	}
	defer func() { _ = rows.Close() }()
	var scratch []byte
	var scanner rowformat.Scanner
	for rows.Next() {
		e, claims, err := scanner.Scan(rows, collection)
		if err != nil {
			return s.observed(s.unreadable(ctx, failed(err)))
		}
		if err := each(Row{e.ID, e.Version, e.Deleted, digest.OfRow(e, claims, &scratch), claims}); err != nil {
			return failed(err)
		}
	}
	if err := rows.Err(); err != nil {
		return s.observed(failed(err))
	}
	return nil
}

// Summaries returns the summary stored with each collection.
func (s *Tx) Summaries(ctx context.Context) (map[string]digest.Summary, error) {
	all, err := rowformat.LoadSummaries(ctx, s.conn)
	if err != nil {
		return nil, s.observed(fmt.Errorf("read the digests: %w", err))
	}
	return all, nil
}

// Summary returns the summary stored with one collection, or zero if there is none.
func (s *Tx) Summary(ctx context.Context, collection string) (summary digest.Summary, err error) {
	var sum []byte
	// The statement takes microseconds, so it runs with a context that can't end.
	err = s.conn.QueryRowContext(context.WithoutCancel(ctx), `SELECT living, digest FROM _digests WHERE collection = ?`, collection).Scan(&summary.Living, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return digest.Summary{}, nil
	}
	if err != nil {
		return digest.Summary{}, fmt.Errorf("read the digest of %s: %w", collection, err)
	}
	summary.Digest = digest.FromBytes(sum)
	return summary, nil
}

// Versions returns the number of versions of all entities of each collection, deleted ones included:
// as many as there were admitted events.
func (s *Tx) Versions(ctx context.Context) (map[string]int64, error) {
	failed := func(err error) error { return s.observed(fmt.Errorf("count the versions: %w", err)) }
	names, err := schema.Tables(ctx, s.conn)
	if err != nil {
		return nil, failed(err)
	}
	var deleted []struct {
		Collection string
		Versions   int64
	}
	if err := s.conn.SelectContext(ctx, &deleted, `SELECT collection, sum(version) AS versions FROM _tombstones GROUP BY collection`); err != nil {
		return nil, failed(err)
	}
	all := make(map[string]int64, len(names))
	for _, d := range deleted {
		all[d.Collection] = d.Versions
	}
	for _, name := range names {
		var living int64
		if err := s.conn.GetContext(ctx, &living, `SELECT coalesce(sum(version), 0) FROM `+schema.Quote(name)); err != nil {
			return nil, failed(err)
		}
		all[name] += living
	}
	return all, nil
}
