package applier

import (
	"database/sql/driver"
	"fmt"
	"iter"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// rowsAhead is the number of rows that another goroutine prepares at a time for a large batch of a
// private file.
const rowsAhead = 256

// An entityRow is an entity that a batch changes, as it is written.
type entityRow struct {
	collection               string
	lived, wasDeleted, dies  bool
	id                       []byte
	version                  int64
	created, updated, folded driver.Value // folded is nil if the collection has no values to fold
	doc, claims              string
}

// rows returns each changed entity once, in the order of the log, and adds it to the digest of its
// collection.
func (m *Entities) rows(o *overlay, done []readmodel.Judged) iter.Seq2[entityRow, error] {
	return func(yield func(entityRow, error) bool) {
		written := make(map[events.EntityKey]bool, len(done))
		for _, j := range done {
			key := entityKey(j.Record.Event)
			if !j.Admitted() || written[key] {
				continue
			}
			written[key] = true
			m.Cache.Change(key)
			row, err := m.row(o.entities[key], o.Entities[key])
			if err != nil {
				err = fmt.Errorf("prepare %s/%s: %w", key.Collection, key.ID, err)
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func (m *Entities) row(before, after events.Entity) (row entityRow, err error) {
	row = entityRow{
		collection: after.Collection, version: after.Version, claims: rowformat.JoinClaims(after.Claims),
		lived: before.Version > 0 && !before.Deleted, wasDeleted: before.Deleted, dies: after.Deleted,
	}
	m.digest(before, after, row.claims)
	if row.id, err = rowformat.ParseID(after.ID); err != nil {
		return row, err
	}
	row.updated = after.UpdatedAt
	row.created = row.updated // one allocation for both, unless they differ
	if after.CreatedAt != after.UpdatedAt {
		row.created = after.CreatedAt
	}
	if after.Deleted {
		return row, nil
	}
	row.doc = rowformat.StoredDocument(after)
	if properties := m.folded[after.Collection]; len(properties) > 0 {
		if row.folded, err = m.folder.Fold(after.Rendered, properties); err != nil {
			return row, fmt.Errorf("fold its values: %w", err)
		}
	}
	return row, nil
}

// writePrepared writes rows that another goroutine prepares.
func (m *Entities) writePrepared(conn connection, o *overlay, done []readmodel.Judged) error {
	type prepared struct {
		rows []entityRow
		err  error
	}
	// There is room for all rows, so the goroutine ends even if a row can't be written. Until then it
	// alone uses the digests and the folder of values.
	ahead := make(chan prepared, len(done)/rowsAhead+2)
	go func() {
		defer close(ahead)
		rows := make([]entityRow, 0, rowsAhead)
		for row, err := range m.rows(o, done) {
			if err != nil {
				ahead <- prepared{err: err}
				return
			}
			if rows = append(rows, row); len(rows) == rowsAhead {
				ahead <- prepared{rows: rows}
				rows = make([]entityRow, 0, rowsAhead)
			}
		}
		ahead <- prepared{rows: rows}
	}()
	var failed error
	for some := range ahead {
		if failed == nil {
			failed = some.err
		}
		for i := 0; i < len(some.rows) && failed == nil; i++ {
			failed = m.writeRow(conn, some.rows[i])
		}
	}
	return failed
}

func (m *Entities) writeRow(conn connection, row entityRow) error {
	if err := m.runRow(conn, row); err != nil {
		return fmt.Errorf("write %s/%s: %w", row.collection, rowformat.FormatID(row.id), err)
	}
	return nil
}

func (m *Entities) runRow(conn connection, row entityRow) (err error) {
	if m.unseen(row.collection, row.id) {
		m.newest[row.collection] = row.id
	}
	switch {
	case row.lived && row.dies:
		err = conn.exec(m.statementsOf(row.collection).remove, row.id)
	case row.wasDeleted:
		err = conn.exec(`DELETE FROM _tombstones WHERE collection = ? AND id = ?`, row.collection, row.id)
	}
	if err != nil {
		return err
	}
	if row.dies {
		return conn.exec(`INSERT INTO _tombstones (collection, id, version, created_at, updated_at) VALUES (?, ?, ?, ?, ?)`,
			row.collection, row.id, row.version, row.created, row.updated)
	}
	statement := m.statementsOf(row.collection).insert
	if row.lived {
		statement = m.statementsOf(row.collection).update
	}
	return conn.exec(statement, row.id, row.version, row.created, row.updated, row.doc, row.claims, row.folded)
}
