// Package matching decides whether an entity matches the filters of a list, for entities that are in
// no read model, such as earlier versions. The answer is always the one that a list would give.
//
// Most values have the type of their column, and comparing them in Go agrees with SQLite. For all
// others, SQLite answers: values of other types, which it converts as a column does, and numbers that
// SQLite and Go may round differently.
package matching

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mattn/go-sqlite3"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/query"
)

// A Row is an entity to compare. Members that no filter is on may be zero.
type Row struct {
	ID                   string
	Version              int64
	CreatedAt, UpdatedAt string // in events.TimeFormat
	Document             []byte // valid JSON
}

// A Table compares entities of one collection with filters. Safe for concurrent use.
type Table struct {
	collection *collections.Collection
	folded     []string // the properties whose values are folded

	mu     sync.Mutex
	conn   *sqlite3.SQLiteConn // an empty database in memory; nil until it is needed
	folder *schema.ValueFolder
}

// NewTable returns a table for a collection. It takes little memory until a value needs SQLite.
func NewTable(c *collections.Collection) *Table {
	t := &Table{collection: c, folder: schema.NewValueFolder()}
	for _, p := range c.Properties() {
		if p.NoCase {
			t.folded = append(t.folded, p.Name)
		}
	}
	return t
}

// Matches reports whether a row matches all filters. The error is one of SQLite.
func (t *Table) Matches(filters []query.Filter, row *Row) (bool, error) {
	var nameSpace [4]string
	var valueSpace [4]jsontext.Value
	names, values := nameSpace[:0], valueSpace[:0]
	for _, f := range filters {
		names, values = append(names, f.Column.Name()), append(values, nil)
	}
	document.Members(row.Document, names, values)
	for i, f := range filters {
		matches, known := compare(f, row, values[i])
		if !known {
			var err error
			if matches, err = t.ask(f, row); err != nil {
				return false, fmt.Errorf("compare %s of %s: %w", f.Column.Name(), row.ID, err)
			}
		}
		if !matches {
			return false, nil
		}
	}
	return true, nil
}

// ask has SQLite compare a row with a filter.
func (t *Table) ask(f query.Filter, row *Row) (matches bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.open(); err != nil {
		return false, err
	}
	id, err := rowformat.ParseID(row.ID)
	if err != nil {
		return false, err
	}
	folded, err := t.folder.Fold(row.Document, t.folded)
	if err != nil {
		return false, err
	}
	table := schema.Quote(t.collection.Name())
	if _, err := t.conn.Exec(`INSERT INTO `+table+` (id, version, created_at, updated_at, doc, _claims, _folded) VALUES (?, ?, ?, ?, ?, '[]', ?)`,
		[]driver.Value{id, row.Version, row.CreatedAt, row.UpdatedAt, string(row.Document), folded}); err != nil {
		return false, err
	}
	defer func() {
		_, failed := t.conn.Exec(`DELETE FROM `+table, nil)
		err = errors.Join(err, failed)
	}()
	s := listsql.Condition(f)
	args := make([]driver.Value, len(s.Args))
	for i, arg := range s.Args {
		if args[i], err = driver.DefaultParameterConverter.ConvertValue(arg); err != nil {
			return false, err
		}
	}
	rows, err := t.conn.Query(`SELECT 1 FROM `+table+` WHERE `+s.Text, args)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	switch err := rows.Next(make([]driver.Value, 1)); {
	case errors.Is(err, io.EOF):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// open creates the table in memory, with the columns of the read model. The driver is called
// directly, because a pool would have a goroutine that something has to end.
func (t *Table) open() error {
	if t.conn != nil {
		return nil
	}
	opened, err := (&sqlite3.SQLiteDriver{}).Open(":memory:")
	if err != nil {
		return err
	}
	conn := opened.(*sqlite3.SQLiteConn)
	for _, statement := range schema.Declaration(t.collection) {
		if _, err := conn.Exec(statement, nil); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	t.conn = conn
	runtime.AddCleanup(t, func(conn *sqlite3.SQLiteConn) { _ = conn.Close() }, conn)
	return nil
}
