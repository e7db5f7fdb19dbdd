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

// Entities gives the living entities of a collection, declared or not, in the order of
// their ids and after one, as admission knows them; an empty after is before all. They
// are good beyond the call. It stops at the first error of each and returns it, and with
// ctx.
func (s *Tx) Entities(ctx context.Context, collection, after string, each func(events.Entity) error) error {
	var there bool
	if err := s.conn.GetContext(ctx, &there, `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?`, collection); err != nil {
		return s.observed(fmt.Errorf("find the table of %s: %w", collection, err))
	}
	if !there {
		return nil // the log has not named it yet
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
			return fmt.Errorf("read the entities of %s: %w", collection, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return s.observed(rows.Err())
}

// A Row is one row of a collection, as a comparison needs it: an entity, or what a
// deleted one has left.
type Row struct {
	ID      string
	Version int64
	// Deleted tells that only the version is left.
	Deleted bool
	// Digest stands for all that is stored; those of all rows add up to the
	// collection's.
	Digest digest.Sum

	claims string
}

// Collections lists, in order, the collections of which anything is stored.
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

// Rows gives the rows of a collection in the order of their ids, tombstones included. It
// stops at the first error of each, and with ctx. Should an entity be there both alive
// and deleted, it is given twice.
func (s *Tx) Rows(ctx context.Context, collection string, each func(Row) error) (err error) {
	defer func() {
		if err != nil {
			err = s.observed(fmt.Errorf("read the rows of %s: %w", collection, err))
		}
	}()
	text := `SELECT ` + rowformat.DeletedColumns + ` FROM _tombstones WHERE collection = ?`
	if known, err := schema.Tables(ctx, s.conn); err != nil {
		return err
	} else if slices.Contains(known, collection) {
		text = `SELECT ` + rowformat.LivingColumns + ` FROM ` + schema.Quote(collection) + ` UNION ALL ` + text
	}
	rows, err := s.conn.QueryContext(ctx, text+` ORDER BY id`, collection)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var scratch []byte
	var scanner rowformat.Scanner
	for rows.Next() {
		e, claims, err := scanner.Scan(rows, collection)
		if err != nil {
			return err
		}
		if err := each(Row{e.ID, e.Version, e.Deleted, digest.OfRow(e, claims, &scratch), claims}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Summaries gives what is kept of each collection beside its rows.
func (s *Tx) Summaries(ctx context.Context) (map[string]digest.Summary, error) {
	all, err := rowformat.LoadSummaries(ctx, s.conn)
	if err != nil {
		return nil, s.observed(fmt.Errorf("read the digests: %w", err))
	}
	return all, nil
}

// Summary gives what is kept of one collection beside its rows; zero if it has none.
func (s *Tx) Summary(ctx context.Context, collection string) (summary digest.Summary, err error) {
	var sum []byte
	// It takes microseconds, so the context is one that can't end.
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
