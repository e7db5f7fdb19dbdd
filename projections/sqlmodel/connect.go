package sqlmodel

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/mattn/go-sqlite3"
)

// driverName is the driver whose connections have a sandbox.
const driverName = "clusterlite-model"

func init() {
	sql.Register(driverName, &sqlite3.SQLiteDriver{ConnectHook: confine})
}

// The limits of what one event or request can do (https://www.sqlite.org/limits.html).
const (
	// maxValue is the maximum size of a text, of a row, and of what a function returns, in bytes.
	maxValue = 32 << 20
	// maxTriggers is how deep triggers may be nested.
	maxTriggers = 16
)

// confine prepares a new connection. It begins in the mode trusted.
func confine(conn *sqlite3.SQLiteConn) error {
	conn.SetLimit(sqlite3.SQLITE_LIMIT_LENGTH, maxValue)
	conn.SetLimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
	conn.SetLimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, maxTriggers)
	conn.SetLimit(sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0)
	if err := restrict(conn); err != nil {
		return fmt.Errorf("restrict functions: %w", err)
	}
	return nil
}

// A connection is one connection to the file of a model, with its sandbox. One goroutine uses it at
// a time.
type connection struct {
	db *sql.DB
	*sql.Conn
	box *sandbox
}

// connect opens a connection. An empty path stands for a database in memory.
func connect(ctx context.Context, path string, settings url.Values) (*connection, error) {
	dsn := ":memory:"
	if path != "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		dsn = (&url.URL{Scheme: "file", Path: absolute, RawQuery: settings.Encode()}).String()
	}
	db, err := sql.Open(driverName, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c := &connection{db: db, Conn: conn, box: &sandbox{}}
	err = conn.Raw(func(raw any) error {
		raw.(*sqlite3.SQLiteConn).RegisterAuthorizer(c.box.authorize)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// within runs f in another mode.
func (c *connection) within(m mode, f func() error) error {
	before := c.box.mode
	c.box.mode = m
	defer func() { c.box.mode = before }()
	return c.box.explain(f())
}

func (c *connection) close() error { return errors.Join(c.Conn.Close(), c.db.Close()) }
