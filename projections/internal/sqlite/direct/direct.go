// Package direct looks up rows of a SQLite file by a key. Each lookup is a single call into C. database/sql and
// the driver make two such calls and allocate more memory, which accounts for half of the processor time of a
// lookup: see docs/decisions/2026-11-29-direct-reads.md.
//
// It uses the SQLite that the driver links, with connections of its own.
package direct

/*
#cgo darwin LDFLAGS: -Wl,-undefined,dynamic_lookup
#cgo noescape direct_read
#cgo nocallback direct_read
#cgo noescape direct_blobs
#cgo nocallback direct_blobs

#include <stdlib.h>
#include "direct.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"github.com/mattn/go-sqlite3"

	_ "github.com/clusterlite/clusterlite/projections/internal/sqlite/setup" // configures SQLite before the first call
)

// A Query is a statement that reads rows. Each connection keeps every query that it has run prepared, so the
// number of queries in a program must be bounded. Safe for concurrent use.
type Query struct{ text string }

// NewQuery returns a query with the given SQL text, whose only parameter, if any, is ?1: the key. SQLite
// checks the text when the query first runs.
func NewQuery(text string) *Query { return &Query{text} }

// A Conn is a read-only connection. It must not be used by more than one goroutine at a time.
type Conn struct {
	db       *C.sqlite3
	prepared map[*Query]*C.sqlite3_stmt
	columns  [maxColumns]C.direct_column
	bytes    []byte // the texts and blobs of a row
	row      Row
}

// maxColumns is the maximum number of columns that a [Row] holds. Read ignores any further columns.
const maxColumns = 8

const (
	minBytes = 4 << 10  // enough for most rows
	maxBytes = 64 << 10 // the most that a connection keeps for its next read
)

// The codes and types of SQLite: https://sqlite.org/rescode.html and https://sqlite.org/c3ref/c_blob.html.
const (
	codeRow  = 100
	codeDone = 101

	typeInteger = 1
	typeText    = 3
	typeBlob    = 4
	typeNull    = 5
)

// Open opens a connection to an existing file. cacheKiB is the size of the page cache in KiB, and patience is
// the maximum time that a read waits for a lock. Errors from SQLite wrap [sqlite3.Error].
func Open(path string, cacheKiB int, patience time.Duration) (*Conn, error) {
	name, settings := C.CString(path), C.CString(fmt.Sprintf(`PRAGMA query_only = true; PRAGMA cache_size = %d`, -cacheKiB))
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(settings))
	c := &Conn{prepared: map[*Query]*C.sqlite3_stmt{}, bytes: make([]byte, minBytes)}
	if code := C.direct_open(name, settings, C.int(patience.Milliseconds()), &c.db); code != 0 {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, c.failure(code)), c.Close())
	}
	return c, nil
}

// Read runs a query with a key and returns the first row of the result, or nil if the result is empty. If the
// query has no parameter, the key must be nil. The row is valid until the next call of Read. Errors from
// SQLite wrap [sqlite3.Error].
func (c *Conn) Read(q *Query, key []byte) (*Row, error) {
	s, err := c.statement(q)
	if err != nil {
		return nil, err
	}
	if len(c.bytes) > maxBytes {
		c.bytes = make([]byte, minBytes)
	}
	for {
		var needed C.int
		code := C.direct_read(s, unsafe.Pointer(unsafe.SliceData(key)), lengthOf(key), &c.columns[0], maxColumns,
			(*C.uchar)(unsafe.SliceData(c.bytes)), C.int(len(c.bytes)), &needed)
		switch {
		case code == codeDone:
			return nil, nil
		case code != codeRow:
			return nil, fmt.Errorf("read a row: %w", c.failure(code))
		case int(needed) <= len(c.bytes):
			c.row = Row{conn: c}
			return &c.row, nil
		}
		// Read the whole row again, because the file may have changed in the meantime.
		c.bytes = make([]byte, int(needed)+int(needed)/4)
	}
}

// lengthOf returns the length of a key, or -1 if there is no key to bind.
func lengthOf(key []byte) C.int {
	if key == nil {
		return -1
	}
	return C.int(len(key))
}

// Blobs runs a query with a key, as [Conn.Read] does, and copies the first column of each row into buffer, one
// value after another, until the buffer has no room for the next. Each value must be a blob of width bytes;
// values of any other length are skipped. Blobs returns the number of bytes that it copied, and whether it
// reached the end of the result.
func (c *Conn) Blobs(q *Query, key []byte, width int, buffer []byte) (n int, all bool, err error) {
	s, err := c.statement(q)
	if err != nil {
		return 0, false, err
	}
	var filled C.int
	code := C.direct_blobs(s, unsafe.Pointer(unsafe.SliceData(key)), lengthOf(key), C.int(width),
		(*C.uchar)(unsafe.SliceData(buffer)), C.int(len(buffer)), &filled)
	if code != codeRow && code != codeDone {
		return 0, false, fmt.Errorf("read a column: %w", c.failure(code))
	}
	return int(filled), code == codeDone, nil
}

// statement returns the prepared statement of a query.
func (c *Conn) statement(q *Query) (*C.sqlite3_stmt, error) {
	s, ok := c.prepared[q]
	if ok {
		return s, nil
	}
	text := C.CString(q.text)
	defer C.free(unsafe.Pointer(text))
	if code := C.direct_prepare(c.db, text, &s); code != 0 {
		return nil, fmt.Errorf("prepare a read: %w", c.failure(code))
	}
	c.prepared[q] = s
	return s, nil
}

// failure returns the error of the last call, which returned a result code.
func (c *Conn) failure(code C.int) error {
	failed := sqlite3.Error{Code: sqlite3.ErrNo(code & 0xff), ExtendedCode: sqlite3.ErrNoExtended(code)}
	if c.db == nil { // SQLite could not allocate the connection
		return failed
	}
	standard := failed.Error()
	if failed.Code == sqlite3.ErrIoErr || failed.Code == sqlite3.ErrCantOpen { // meaningless for other codes
		failed.SystemErrno = syscall.Errno(C.direct_errno(c.db))
	}
	if message := C.GoString(C.direct_message(c.db)); message != standard {
		return fmt.Errorf("%s: %w", message, failed)
	}
	return failed
}

// Close closes the connection.
func (c *Conn) Close() error {
	for _, s := range c.prepared {
		C.direct_finalize(s) // returns the error of the last step
	}
	c.prepared = nil
	code := C.direct_close(c.db)
	if code == 0 {
		c.db = nil
		return nil
	}
	return fmt.Errorf("close a connection: %w", c.failure(code))
}

// A Row is a row of a result. Int and Bytes return its columns from left to right.
type Row struct {
	conn *Conn
	at   int // index of the next column
	used int // offset of its text or blob in conn.bytes
	err  error
}

// Int returns the next column, which must be an integer. Otherwise it returns 0, and Err reports the mismatch.
func (r *Row) Int() int64 {
	c := r.next()
	if c == nil {
		return 0
	}
	if c._type != typeInteger {
		r.mismatch("an integer", c)
		return 0
	}
	return int64(c.value)
}

// Bytes returns the next column, which must be a text, a blob or NULL. It returns nil for NULL and for any other
// type, which Err reports. The bytes are valid until the next call of [Conn.Read].
func (r *Row) Bytes() []byte {
	c := r.next()
	if c == nil {
		return nil
	}
	switch c._type {
	case typeText, typeBlob:
		from := r.used
		r.used += int(c.value)
		return r.conn.bytes[from:r.used:r.used]
	case typeNull:
		return nil
	}
	r.mismatch("a text", c)
	return nil
}

// Err returns an error if Int or Bytes found a value of the wrong type.
func (r *Row) Err() error { return r.err }

func (r *Row) next() *C.direct_column {
	if r.at == maxColumns {
		r.err = fmt.Errorf("a row has more than %d columns", maxColumns)
	}
	if r.err != nil {
		return nil
	}
	r.at++
	return &r.conn.columns[r.at-1]
}

func (r *Row) mismatch(want string, got *C.direct_column) {
	r.err = fmt.Errorf("column %d has the SQLite type %d, want %s", r.at, int(got._type), want)
}
