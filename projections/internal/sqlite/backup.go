package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
)

// copyPages is how many pages are copied between two checks of ctx.
const copyPages = 4096

// Backup copies a database with SQLite's online backup.
func Backup(ctx context.Context, source *sqlx.Conn, target *sqlx.DB) error {
	to, err := target.Connx(ctx)
	if err != nil {
		return err
	}
	err = onSQLite(to, func(to *sqlite3.SQLiteConn) error {
		return onSQLite(source, func(from *sqlite3.SQLiteConn) error {
			b, err := to.Backup("main", from, "main")
			if err != nil {
				return err
			}
			for done := false; !done && err == nil; {
				if done, err = b.Step(copyPages); err == nil {
					err = ctx.Err()
				}
			}
			return errors.Join(err, b.Finish())
		})
	})
	if err == nil {
		// The copied header says that a write-ahead log lies beside the file, as for its
		// source.
		_, err = to.ExecContext(ctx, `PRAGMA journal_mode = DELETE`)
	}
	return errors.Join(err, to.Close())
}

func onSQLite(c *sqlx.Conn, do func(*sqlite3.SQLiteConn) error) error {
	return c.Raw(func(driver any) error {
		conn, ok := driver.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("the driver's connection is a %T", driver)
		}
		return do(conn)
	})
}
