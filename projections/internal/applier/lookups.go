package applier

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// lookUpEntities loads entities into an overlay with a statement for each. For thousands of entities
// this is faster than one statement for all of them, which has to parse their ids from JSON and looks
// up each one among the tombstones as well.
func (m *Entities) lookUpEntities(tx readmodel.Tx, o *overlay, collection string, ids [][]byte) error {
	slices.SortFunc(ids, bytes.Compare)
	ids = slices.CompactFunc(ids, bytes.Equal)
	living := `SELECT version, created_at, updated_at, doc, _claims FROM ` + schema.Quote(collection) + ` WHERE id = ?`
	const deleted = `SELECT version, created_at, updated_at FROM _tombstones WHERE collection = ? AND id = ?`
	var row [5]driver.Value
	return m.direct.on(tx, func(conn connection) error {
		for _, id := range ids {
			found, err := conn.one(living, row[:], id)
			if err != nil {
				return err
			}
			e := events.Entity{Collection: collection, ID: rowformat.FormatID(id)}
			if !found {
				e.Deleted = true
				if found, err = conn.one(deleted, row[:3], collection, id); err != nil {
					return err
				}
			}
			if !found {
				continue
			}
			if err := fill(&e, row[:]); err != nil {
				return fmt.Errorf("read %s/%s: %w", collection, e.ID, err)
			}
			o.add(e)
		}
		return nil
	})
}

func fill(e *events.Entity, row []driver.Value) error {
	var ok [5]bool
	e.Version, ok[0] = row[0].(int64)
	e.CreatedAt, ok[1] = row[1].(string)
	e.UpdatedAt, ok[2] = row[2].(string)
	doc, claims := "", ""
	if doc, ok[3] = row[3].(string); e.Deleted {
		ok[3], ok[4] = true, true
	} else {
		claims, ok[4] = row[4].(string)
		e.Rendered = document.Render(e.ID, e.Version, e.CreatedAt, e.UpdatedAt, []byte(doc))
		e.Claims = rowformat.SplitClaims(claims)
	}
	if ok != [5]bool{true, true, true, true, true} {
		return errors.New("a column does not have its declared type")
	}
	return nil
}
