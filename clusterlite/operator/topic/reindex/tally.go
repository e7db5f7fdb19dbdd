package reindex

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3" // the driver

	"github.com/clusterlite/clusterlite/events"
)

// A tally counts which entities want which claims. It uses a temporary file, because a
// collection may be larger than memory. The file is removed after the survey.
type tally struct {
	db   *sqlx.DB
	tx   *sqlx.Tx
	path string
	// claim and entity are the statements that insert rows.
	claim, entity *sqlx.Stmt
}

func openTally(ctx context.Context, dir string) (_ *tally, err error) {
	t := &tally{path: filepath.Join(dir, "reindex.db")}
	if err := t.remove(); err != nil { // a run that was killed may have left the file
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the survey's file: %w", err), t.close())
		}
	}()
	if t.db, err = sqlx.ConnectContext(ctx, "sqlite3", "file:"+t.path+"?_journal_mode=OFF&_synchronous=OFF"); err != nil {
		return nil, err
	}
	if t.tx, err = t.db.BeginTxx(ctx, nil); err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`CREATE TABLE wants (claim TEXT NOT NULL, id TEXT NOT NULL, holds INTEGER NOT NULL, value TEXT NOT NULL)`,
		`CREATE TABLE lacking (id TEXT NOT NULL, holds TEXT NOT NULL, wanted TEXT NOT NULL)`,
	} {
		if _, err = t.tx.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	if t.claim, err = t.tx.PreparexContext(ctx, `INSERT INTO wants (claim, id, holds, value) VALUES (?, ?, ?, ?)`); err != nil {
		return nil, err
	}
	t.entity, err = t.tx.PreparexContext(ctx, `INSERT INTO lacking (id, holds, wanted) VALUES (?, ?, ?)`)
	return t, err
}

// wants records that an entity wants a claim for a value.
func (t *tally) wants(ctx context.Context, e events.Entity, claim, value string) error {
	_, err := t.claim.ExecContext(ctx, claim, e.ID, slices.Contains(e.Claims, claim), value)
	return err
}

// lacking records an entity whose claims differ from those that it wants.
func (t *tally) lacking(ctx context.Context, e events.Entity, wanted []string) error {
	_, err := t.entity.ExecContext(ctx, e.ID, join(e.Claims), join(wanted))
	return err
}

// clashes returns the values that several entities have, and the entity that keeps each.
func (t *tally) clashes(ctx context.Context) (all []Clash, keeper map[string]string, err error) {
	rows, err := t.tx.QueryxContext(ctx, `
		SELECT claim, id, value FROM wants
		WHERE claim IN (SELECT claim FROM wants GROUP BY claim HAVING count(*) > 1)
		ORDER BY claim, holds DESC, id`)
	if err != nil {
		return nil, nil, fmt.Errorf("find clashes: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all, keeper = []Clash{}, map[string]string{}
	for rows.Next() {
		var claim, id, value string
		if err := rows.Scan(&claim, &id, &value); err != nil {
			return nil, nil, fmt.Errorf("find clashes: %w", err)
		}
		if keeper[claim] == "" {
			keeper[claim] = id
			all = append(all, Clash{Field: events.ClaimField(claim), Value: value})
		}
		last := &all[len(all)-1]
		last.IDs = append(last.IDs, id)
	}
	return all, keeper, rows.Err()
}

// pending counts the entities that lack claims which they can get.
func (t *tally) pending(ctx context.Context, keeper map[string]string) (n int64, err error) {
	rows, err := t.tx.QueryxContext(ctx, `SELECT id, holds, wanted FROM lacking`)
	if err != nil {
		return 0, fmt.Errorf("count missing claims: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, holds, wanted string
		if err := rows.Scan(&id, &holds, &wanted); err != nil {
			return 0, fmt.Errorf("count missing claims: %w", err)
		}
		if !same(split(holds), attainable(id, split(wanted), keeper)) {
			n++
		}
	}
	return n, rows.Err()
}

// close ends the tally and removes its file.
func (t *tally) close() error {
	var errs []error
	if t.tx != nil {
		errs = append(errs, t.tx.Rollback())
	}
	if t.db != nil {
		errs = append(errs, t.db.Close())
	}
	return errors.Join(append(errs, t.remove())...)
}

func (t *tally) remove() error {
	if err := os.Remove(t.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the survey's file: %w", err)
	}
	return nil
}

// join uses a space as the separator, because no claim contains one.
func join(claims []string) string { return strings.Join(claims, " ") }

func split(s string) []string { return strings.Fields(s) }
