package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events/collections"
)

// schemaVersion is the version of the tables below. A file of another version is
// refused: the log can always rebuild it.
const schemaVersion = 1

// serverTables hold what is not an entity. A collection's name starts with a letter, so
// none can clash.
var serverTables = []string{
	// What the file belongs to.
	`CREATE TABLE IF NOT EXISTS _meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`,
	// One row: how far the log was applied, and the log time there (Unix milliseconds).
	`CREATE TABLE IF NOT EXISTS _checkpoint (
		one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, log_time INTEGER NOT NULL)`,
	`INSERT OR IGNORE INTO _checkpoint (one, position, log_time) VALUES (1, 0, 0)`,
	// Which living entity holds which unique key.
	`CREATE TABLE IF NOT EXISTS _claims (
		collection TEXT NOT NULL, claim TEXT NOT NULL, id TEXT NOT NULL,
		PRIMARY KEY (collection, claim)) WITHOUT ROWID`,
	// The versions of deleted entities: an id is never used twice.
	`CREATE TABLE IF NOT EXISTS _tombstones (
		collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
		PRIMARY KEY (collection, id)) WITHOUT ROWID`,
	// Idempotency keys within the window, with what a retry is answered.
	`CREATE TABLE IF NOT EXISTS _keys (
		key TEXT PRIMARY KEY, position INTEGER NOT NULL, at INTEGER NOT NULL, request_hash TEXT NOT NULL,
		collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
		doc TEXT) WITHOUT ROWID`,
	`CREATE INDEX IF NOT EXISTS _keys_at ON _keys (at)`,
	// The newest void records, for operators, and how many there were in all.
	`CREATE TABLE IF NOT EXISTS _voids (
		offset INTEGER PRIMARY KEY, at INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
		event_id TEXT NOT NULL, type TEXT NOT NULL, entity_id TEXT NOT NULL, source TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS _void_counts (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID`,
	// A digest of each collection's rows, and how many live.
	`CREATE TABLE IF NOT EXISTS _digests (
		collection TEXT PRIMARY KEY, living INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID`,
}

// quote makes an SQL name of a collection's or property's.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// createCollection makes the table of a collection, if it is missing. Any collection
// that is met in the log gets one, declared or not.
func createCollection(name string) string {
	// Entities lie in the order of their ids, and a UUIDv7 grows with time: new ones
	// are appended, and a list in the default order is one walk.
	return `CREATE TABLE IF NOT EXISTS ` + quote(name) + ` (
		id TEXT PRIMARY KEY, version INTEGER NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
		doc TEXT NOT NULL, _claims TEXT NOT NULL) WITHOUT ROWID`
}

// affinity is the SQLite type of a property's column.
var affinity = map[string]string{"string": "TEXT", "integer": "INTEGER", "number": "REAL", "boolean": "INTEGER"}

// declare gives a declared collection's table its columns and indexes: a virtual
// column for each scalar property, which takes no space, and an index where declared.
// What is already there is left as it is, what changed its type is made anew.
func declare(ctx context.Context, tx *sqlx.Tx, c *collections.Collection) error {
	if _, err := tx.ExecContext(ctx, createCollection(c.Name())); err != nil {
		return fmt.Errorf("make the table of %s: %w", c.Name(), err)
	}
	present, err := columns(ctx, tx, c.Name())
	if err != nil {
		return err
	}
	for _, p := range c.Properties() {
		for _, statement := range columnChanges(c.Name(), p, present) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("make the column of %s.%s: %w", c.Name(), p.Name, err)
			}
		}
	}
	return nil
}

func columnChanges(table string, p collections.Property, present map[string]string) []string {
	index := quote(table + "." + p.Name)
	indexed := p.Index || p.Unique
	var changes []string
	if present[p.Name] != affinity[p.Type] {
		if _, there := present[p.Name]; there {
			changes = append(changes, `DROP INDEX IF EXISTS `+index, `ALTER TABLE `+quote(table)+` DROP COLUMN `+quote(p.Name))
		}
		// The path's name is quoted for JSON; a property's name is made of letters,
		// digits and underscores.
		changes = append(changes, fmt.Sprintf(`ALTER TABLE %s ADD COLUMN %s %s GENERATED ALWAYS AS (doc ->> '$."%s"') VIRTUAL`,
			quote(table), quote(p.Name), affinity[p.Type], p.Name))
	}
	if indexed {
		// With the id, since that is what ends every sort.
		return append(changes, `CREATE INDEX IF NOT EXISTS `+index+` ON `+quote(table)+` (`+quote(p.Name)+`, id)`)
	}
	return append(changes, `DROP INDEX IF EXISTS `+index)
}

// columns gives the declared types of a table's columns, the virtual ones included.
func columns(ctx context.Context, tx *sqlx.Tx, table string) (map[string]string, error) {
	var rows []struct {
		Name string `db:"name"`
		Type string `db:"type"`
	}
	if err := tx.SelectContext(ctx, &rows, `SELECT name, type FROM pragma_table_xinfo(?)`, table); err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", table, err)
	}
	types := make(map[string]string, len(rows))
	for _, r := range rows {
		// SQLite appends this to the type of a generated column.
		types[r.Name] = strings.TrimSpace(strings.TrimSuffix(r.Type, "GENERATED ALWAYS"))
	}
	return types, nil
}

// tables lists the collections that the file has tables for.
func tables(ctx context.Context, q sqlx.QueryerContext) ([]string, error) {
	var names []string
	err := sqlx.SelectContext(ctx, q, &names, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	slices.Sort(names)
	return names, err
}
