package bulk

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Name is the name of the limit in the report.
const Name = "bulk transaction"

// A Bulk is the limit for an import and for a rebuild. It writes everything that a read model
// holds with prepared statements in one SQLite transaction, into tables with the same columns
// and indexes. It reads both from the file of a read model, so it follows changes of both.
type Bulk struct {
	schema []string
	// phases run one after another. The steps of a phase take turns, row by row.
	phases [][]step
	claims [][]any // collection, claim, id
}

// A step runs one statement for each of its rows.
type step struct {
	statement string
	rows      [][]any
}

// Rows returns how many rows of entities are written or deleted. This is the number of events
// that led to them.
func (b *Bulk) Rows() (n int) {
	for _, phase := range b.phases {
		n += len(phase[0].rows)
	}
	return n
}

// Read reads the tables of a file, the rows of a collection, and their claims.
func Read(ctx context.Context, path string) (*Bulk, error) {
	db, err := openReadModel(path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	b := &Bulk{}
	schema, err := queryRows(ctx, db, `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type = 'table' DESC, rowid`)
	if err != nil {
		return nil, err
	}
	for _, row := range schema {
		b.schema = append(b.schema, row[0].(string))
	}
	entities, err := insertion(ctx, db, "INSERT", "users", "")
	if err != nil {
		return nil, err
	}
	if b.claims, err = allClaims(ctx, db); err != nil {
		return nil, err
	}
	b.phases = append(b.phases, []step{entities, {`INSERT INTO _claims (collection, claim, id) VALUES (?, ?, ?)`, b.claims}})
	return b, nil
}

// allClaims returns collection, claim and holder of all claims of a file from which none was ever
// released, in the order of the entities. Recently changed ones are in a table of their own, and may
// also be in the table of all others.
func allClaims(ctx context.Context, db *sql.DB) ([][]any, error) {
	claims, err := queryRows(ctx, db, `SELECT collection, claim, id FROM _claims`)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, row := range claims {
		known[fmt.Sprint(row[:2]...)] = true
	}
	recent, err := queryRows(ctx, db, `SELECT collection, held FROM _recent_claims WHERE held IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	for _, row := range recent {
		for held := range slices.Chunk(row[1].([]byte), 32) { // a claim and the id of its holder
			claim := []any{row[0], held[:16], held[16:]}
			if !known[fmt.Sprint(claim[:2]...)] {
				claims = append(claims, claim)
			}
		}
	}
	slices.SortFunc(claims, func(a, b []any) int { return bytes.Compare(a[2].([]byte), b[2].([]byte)) })
	return claims, nil
}

// Change adds the changes that were made since the bulk was read from the file: entities that
// were replaced, and entities that were deleted.
func (b *Bulk) Change(ctx context.Context, path string) error {
	db, err := openReadModel(path)
	if err != nil {
		return err
	}
	defer db.Close()
	replaced, err := insertion(ctx, db, "INSERT OR REPLACE", "users", "WHERE version > 1")
	if err != nil {
		return err
	}
	b.phases = append(b.phases, []step{replaced})
	buried, err := insertion(ctx, db, "INSERT", "_tombstones", "")
	if err != nil {
		return err
	}
	ids, err := queryRows(ctx, db, `SELECT id FROM _tombstones ORDER BY id`)
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for _, row := range ids {
		gone[fmt.Sprint(row[0])] = true
	}
	freed := step{statement: `DELETE FROM _claims WHERE collection = ? AND claim = ?`}
	for _, row := range b.claims {
		if gone[fmt.Sprint(row[2])] {
			freed.rows = append(freed.rows, row[:2])
		}
	}
	b.phases = append(b.phases, []step{buried, {`DELETE FROM users WHERE id = ?`, ids}, freed})
	return nil
}

func openReadModel(path string) (*sql.DB, error) {
	return sql.Open("sqlite3", "file:"+path+"?mode=ro")
}

// insertion returns a step that copies rows of a file to the same table of another file.
func insertion(ctx context.Context, db *sql.DB, verb, table, where string) (step, error) {
	columns, err := queryRows(ctx, db, `SELECT name FROM pragma_table_info(?)`, table) // this leaves out generated columns
	if err != nil {
		return step{}, err
	}
	var names []string
	for _, row := range columns {
		names = append(names, `"`+row[0].(string)+`"`)
	}
	list := strings.Join(names, ", ")
	rows, err := queryRows(ctx, db, `SELECT `+list+` FROM `+table+` `+where)
	return step{
		statement: verb + ` INTO ` + table + ` (` + list + `) VALUES (?` + strings.Repeat(", ?", len(names)-1) + `)`,
		rows:      rows,
	}, err
}

func queryRows(ctx context.Context, db *sql.DB, query string, args ...any) (all [][]any, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// Run writes all rows to a new file in dir. It returns the duration of the transaction,
// including the checkpoint that copies it into the file.
func (b *Bulk) Run(ctx context.Context, dir string) (took time.Duration, err error) {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "bulk.db")+"?_journal_mode=WAL&_synchronous=NORMAL&_cache_size=-65536")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	for _, statement := range b.schema {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return 0, fmt.Errorf("%s: %w", statement, err)
		}
	}
	began := time.Now()
	if err := b.write(db); err != nil {
		return 0, err
	}
	_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return time.Since(began), err
}

// write takes no context: a context that can end costs the driver a goroutine per statement.
func (b *Bulk) write(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit
	for _, phase := range b.phases {
		if err := writePhase(tx, phase); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func writePhase(tx *sql.Tx, phase []step) (err error) {
	prepared := make([]*sql.Stmt, len(phase))
	longest := 0
	for i, one := range phase {
		if prepared[i], err = tx.Prepare(one.statement); err != nil {
			return fmt.Errorf("%s: %w", one.statement, err)
		}
		longest = max(longest, len(one.rows))
	}
	for n := range longest {
		for i, one := range phase {
			if n >= len(one.rows) {
				continue
			}
			if _, err := prepared[i].Exec(one.rows[n]...); err != nil {
				return fmt.Errorf("%s: %w", one.statement, err)
			}
		}
	}
	return nil
}
