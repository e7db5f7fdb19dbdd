package projections

import (
	"context"
	"fmt"

	"github.com/clusterlite/clusterlite/events"
)

// Entities gives the living entities of a collection, declared or not, in the order of
// their ids and after one, as admission knows them; an empty after is before all. They
// are good beyond the call. It stops at the first error of each and returns it, and with
// ctx.
func (s *Snapshot) Entities(ctx context.Context, collection, after string, each func(events.Entity) error) error {
	var there bool
	if err := s.reader.GetContext(ctx, &there, `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?`, collection); err != nil {
		return s.seen(fmt.Errorf("find the table of %s: %w", collection, err))
	}
	if !there {
		return nil // the log has not named it yet
	}
	above := condition(Filter{Column: IDColumn(), Op: Greater, Values: []any{after}})
	rows, err := s.reader.QueryContext(ctx, `SELECT id, version, created_at, updated_at, doc, _claims, 0 FROM `+quote(collection)+` WHERE `+above.text+` ORDER BY id`, above.args...)
	if err != nil {
		return s.seen(fmt.Errorf("read the entities of %s: %w", collection, err))
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e, err := scanEntity(rows, collection)
		if err != nil {
			return fmt.Errorf("read the entities of %s: %w", collection, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return s.seen(rows.Err())
}
