package offline

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// Contents passes everything that an ordinary file holds to each, collection by collection,
// including deleted entities. No process may have the file open for writing. It stops at the
// first error of each, and when ctx ends.
func Contents(ctx context.Context, path string, each func(events.Entity) error) (err error) {
	db, err := sqlite.Connect(ctx, path, 1, url.Values{"_query_only": {"true"}, "mode": {"ro"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	names, err := schema.Tables(ctx, db)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, name := range names {
		if err := eachEntity(ctx, db, name, each); err != nil {
			return fmt.Errorf("read %s of %s: %w", name, path, err)
		}
	}
	return nil
}

func eachEntity(ctx context.Context, db *sqlx.DB, collection string, each func(events.Entity) error) error {
	rows, err := db.QueryContext(ctx, allEntities(collection), collection)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e, err := rowformat.ScanEntity(rows, collection)
		if err == nil {
			err = each(e)
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

func allEntities(collection string) string {
	return `SELECT ` + rowformat.LivingColumns + ` FROM ` + schema.Quote(collection) + `
		UNION ALL
		SELECT ` + rowformat.DeletedColumns + ` FROM _tombstones WHERE collection = ?1`
}
