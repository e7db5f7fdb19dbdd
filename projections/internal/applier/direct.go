package applier

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// A direct runs statements on the driver's connection, without database/sql in between. Most of the
// statements of a batch insert one row. For such a statement, database/sql and the driver's Exec
// take about as long as SQLite does: the driver calls into C for each argument. Its Query passes
// all arguments with one call. One goroutine uses a direct.
type direct struct {
	kept map[string]driver.Stmt
	args []driver.NamedValue
}

// A connection runs statements on the driver's connection of a transaction.
type connection struct {
	*direct
	driver driver.ConnPrepareContext
}

// exec runs a statement with arguments of the types of [driver.Value].
func (c connection) exec(query string, args ...driver.Value) error {
	if err := c.run(c.driver, query, args); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

// one runs a query of at most one row, and reads the row into dest. It returns false if there is
// none.
func (c connection) one(query string, dest []driver.Value, args ...driver.Value) (found bool, err error) {
	rows, err := c.start(c.driver, query, args)
	if err != nil {
		return false, fmt.Errorf("%s: %w", query, err)
	}
	err = rows.Next(dest)
	if found = err == nil; errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, rows.Close()); err != nil {
		return false, fmt.Errorf("%s: %w", query, err)
	}
	return found, nil
}

// on calls do with the connection of tx. During the call, do must not use tx.
func (d *direct) on(tx readmodel.Tx, do func(connection) error) error {
	raw, ok := tx.(interface{ Raw(func(any) error) error })
	if !ok {
		return fmt.Errorf("a %T gives no access to the driver's connection", tx)
	}
	return raw.Raw(func(conn any) error {
		preparer, ok := conn.(driver.ConnPrepareContext)
		if !ok {
			return fmt.Errorf("the driver's connection is a %T, which can't prepare statements", conn)
		}
		return do(connection{d, preparer})
	})
}

func (d *direct) run(conn driver.ConnPrepareContext, query string, args []driver.Value) error {
	rows, err := d.start(conn, query, args)
	if err != nil {
		return err
	}
	if err := rows.Next(nil); !errors.Is(err, io.EOF) { // the statement returns no rows, only its failure
		return errors.Join(err, rows.Close())
	}
	return rows.Close()
}

// start begins to run a statement. The caller closes the rows before it runs another statement.
func (d *direct) start(conn driver.ConnPrepareContext, query string, args []driver.Value) (driver.Rows, error) {
	ctx := context.Background() // a batch that was begun is finished
	statement := d.kept[query]
	if statement == nil {
		var err error
		if statement, err = d.prepare(ctx, conn, query); err != nil {
			return nil, err
		}
	}
	d.args = d.args[:0]
	for i, value := range args {
		d.args = append(d.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return statement.(driver.StmtQueryContext).QueryContext(ctx, d.args)
}

func (d *direct) prepare(ctx context.Context, conn driver.ConnPrepareContext, query string) (driver.Stmt, error) {
	if len(d.kept) >= sqlite.KeptStatements {
		if err := d.close(); err != nil {
			return nil, err
		}
	}
	statement, err := conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if _, ok := statement.(driver.StmtQueryContext); !ok {
		return nil, errors.Join(fmt.Errorf("a statement of the driver is a %T, which can't be run", statement), statement.Close())
	}
	if d.kept == nil {
		d.kept = map[string]driver.Stmt{}
	}
	d.kept[query] = statement
	return statement, nil
}

// close closes the kept statements. The connection must be open, and not in use.
func (d *direct) close() error {
	var errs []error
	for query, statement := range d.kept {
		errs = append(errs, statement.Close())
		delete(d.kept, query)
	}
	return errors.Join(errs...)
}
