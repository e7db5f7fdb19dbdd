// Package schema creates the tables of a read model's file, and brings the columns and indexes
// of each collection in line with its declaration.
package schema

import (
	"context"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// SchemaVersion is the version of the tables below. A file of version 1 is converted when it is
// opened, and the table that one of version 2 lacks is added. A file of any other version is refused:
// the log can rebuild it.
const SchemaVersion = 3

// PageSize is the size of the file's pages in bytes. Unique values are in no particular order,
// so each of them changes a separate page in each index that holds it, and the write-ahead log
// takes whole pages. Small pages make this cheap. In practice the trees are no deeper for it,
// because only leaves hold entities.
const PageSize = 1024

// ServerTables hold everything except entities. The name of a collection begins with a letter,
// so none can clash.
var ServerTables = []string{
	// The log that the file belongs to.
	`CREATE TABLE IF NOT EXISTS _meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`,
	// One row with the position in the log, the log time there (Unix milliseconds), and the
	// identity of the last record.
	`CREATE TABLE IF NOT EXISTS _checkpoint (
		one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, log_time INTEGER NOT NULL,
		last_record TEXT NOT NULL)`,
	`INSERT OR IGNORE INTO _checkpoint (one, position, log_time, last_record) VALUES (1, 0, 0, '')`,
	// The living entity that holds each unique key, unless the key is in _recent_claims. The claim is
	// a hash: see rowformat.PackClaim.
	`CREATE TABLE IF NOT EXISTS _claims (
		collection TEXT NOT NULL, claim BLOB NOT NULL, id BLOB NOT NULL,
		PRIMARY KEY (collection, claim)) WITHOUT ROWID`,
	// Changes of claims that the table of claims lacks: see rowformat.RecentRow.
	`CREATE TABLE IF NOT EXISTS _recent_claims (
		number INTEGER PRIMARY KEY, collection TEXT NOT NULL, held BLOB, released BLOB)`,
	// The versions of deleted entities. An id is never reused.
	`CREATE TABLE IF NOT EXISTS _tombstones (
		collection TEXT NOT NULL, id BLOB NOT NULL, version INTEGER NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
		PRIMARY KEY (collection, id)) WITHOUT ROWID`,
	// Idempotency keys within the window, with the answer to a retry.
	`CREATE TABLE IF NOT EXISTS _keys (
		key TEXT PRIMARY KEY, position INTEGER NOT NULL, at INTEGER NOT NULL, request_hash TEXT NOT NULL,
		collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
		doc TEXT) WITHOUT ROWID`,
	`CREATE INDEX IF NOT EXISTS _keys_at ON _keys (at)`,
	// The latest void records, for operators, and the total number by reason.
	`CREATE TABLE IF NOT EXISTS _voids (
		offset INTEGER PRIMARY KEY, at INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
		event_id TEXT NOT NULL, type TEXT NOT NULL, entity_id TEXT NOT NULL, source TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS _void_counts (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID`,
	// The digest of each collection's rows, and the number of living entities.
	`CREATE TABLE IF NOT EXISTS _digests (
		collection TEXT PRIMARY KEY, living INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID`,
}

// Quote quotes the name of a collection or property for SQL.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// CreateCollection returns the statement that creates the table of a collection if it is
// missing. Every collection in the log has a table, declared or not.
func CreateCollection(name string) string {
	// Entities are stored in the order of their creation. SQLite fills the pages of such a
	// table, and leaves room in those of a table with another order. The column doc holds the
	// document as it is in the event, without the members that the server adds.
	return `CREATE TABLE IF NOT EXISTS ` + Quote(name) + ` (
		id BLOB PRIMARY KEY NOT NULL, version INTEGER NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
		doc TEXT NOT NULL, _claims TEXT NOT NULL, _folded TEXT)`
}

// Tables lists the collections that have a table in the file.
func Tables(ctx context.Context, q sqlx.QueryerContext) ([]string, error) {
	return TablesIn(ctx, q, "sqlite_schema")
}

// TablesIn is [Tables] for an attached database, given the name of its schema table.
func TablesIn(ctx context.Context, q sqlx.QueryerContext, schema string) ([]string, error) {
	var names []string
	err := sqlx.SelectContext(ctx, q, &names, `SELECT name FROM `+schema+` WHERE type = 'table' AND name NOT LIKE '\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	slices.Sort(names)
	return names, err
}
