// Package direct reads single rows of a SQLite file by a key, with one call into C for each. database/sql
// and the driver need two, and a dozen allocations more, which is half of the processor time of such a
// read: see docs/decisions/2026-11-29-direct-reads.md.
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

// A Query is a statement that reads a row. Connections keep it prepared, so a program makes only a limited
// number of queries. Safe for concurrent use.
type Query struct{ text string }

// NewQuery returns a query with ?1 in place of the key. SQLite checks the text when the query first runs.
func NewQuery(text string) *Query { return &Query{text} }

// A Conn is a connection that only reads. One goroutine uses it at a time.
type Conn struct {
	db       *C.sqlite3
	prepared map[*Query]*C.sqlite3_stmt
	columns  [maxColumns]C.direct_column
	bytes    []byte // the texts and blobs of a row
	row      Row
}

// maxColumns is the maximum number of columns of a row. Further ones are left out.
const maxColumns = 8

const (
	minBytes = 4 << 10  // fits most rows
	maxBytes = 64 << 10 // a connection does not keep more memory than this
)

// The codes and types of SQLite: https://sqlite.org/rescode.html and https://sqlite.org/c3ref/c_blob.html.
const (
	codeRow  = 100
	codeDone = 101

	typeInteger = 1
	typeText    = 3
	typeBlob    = 4
)

// Open opens a connection to an existing file. cacheKiB is the size of its page cache, and patience how long
// a read waits for a lock. Errors of SQLite are of the type [sqlite3.Error].
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

// Read returns the first row for a key, or nil if there is none. A nil key is for a query without ?1. The
// row is valid until the next call. Errors are of the type [sqlite3.Error].
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
		// Read the whole row again: the file may have changed.
		c.bytes = make([]byte, int(needed)+int(needed)/4)
	}
}

// lengthOf returns the length of a key as C expects it.
func lengthOf(key []byte) C.int {
	if key == nil {
		return -1
	}
	return C.int(len(key))
}

// Blobs copies the first column of the rows for a key to into, one value after the other, until no further one
// fits. Each is a blob of width bytes; values of other lengths are left out. Blobs returns the number of copied
// bytes, and whether all rows were read. Errors are those of [Conn.Read].
func (c *Conn) Blobs(q *Query, key []byte, width int, into []byte) (n int, all bool, err error) {
	s, err := c.statement(q)
	if err != nil {
		return 0, false, err
	}
	var filled C.int
	code := C.direct_blobs(s, unsafe.Pointer(unsafe.SliceData(key)), lengthOf(key), C.int(width), (*C.uchar)(unsafe.SliceData(into)), C.int(len(into)), &filled)
	if code != codeRow && code != codeDone {
		return 0, false, fmt.Errorf("read a column: %w", c.failure(code))
	}
	return int(filled), code == codeDone, nil
}

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

// failure describes the last call, which returned a code.
func (c *Conn) failure(code C.int) error {
	failed := sqlite3.Error{Code: sqlite3.ErrNo(code & 0xff), ExtendedCode: sqlite3.ErrNoExtended(code)}
	if c.db == nil { // not enough memory
		return failed
	}
	described := error(failed)
	if failed.Code == sqlite3.ErrIoErr || failed.Code == sqlite3.ErrCantOpen { // for other codes it has no meaning
		failed.SystemErrno = syscall.Errno(C.direct_errno(c.db))
	}
	if message := C.GoString(C.direct_message(c.db)); message != described.Error() {
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

// A Row is a row that was read. Its columns are taken in order.
type Row struct {
	conn *Conn
	at   int // the next column
	used int // bytes of the columns before it
	err  error
}

// Int returns the integer of the next column.
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

// Bytes returns the text or blob of the next column. It is valid until the next read, and nil for NULL.
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

const typeNull = 5

// Err returns an error if a column had a value of another type than it was taken as.
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
	r.err = fmt.Errorf("column %d has type %d of SQLite, want %s", r.at, int(got._type), want)
}
