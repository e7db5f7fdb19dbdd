package direct_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite/direct"
)

// newFile creates a file in WAL mode, and returns its path and the connection that writes.
func newFile(t *testing.T, statements ...string) (string, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.db")
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	exec(t, db, `CREATE TABLE rows (key BLOB PRIMARY KEY, n, text)`)
	for _, s := range statements {
		exec(t, db, s)
	}
	return path, db
}

func exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func open(t *testing.T, path string) *direct.Conn {
	t.Helper()
	c, err := direct.Open(path, 64, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var byKey = direct.NewQuery(`SELECT n, text, key FROM rows WHERE key = ?1`)

// read returns the row for a key as text.
func read(t *testing.T, c *direct.Conn, key string) string {
	t.Helper()
	row, err := c.Read(byKey, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if row == nil {
		return "none"
	}
	got := fmt.Sprintf("%d %q %q", row.Int(), row.Bytes(), row.Bytes())
	if err := row.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReadReturnsTheRowOfAKey(t *testing.T) {
	path, db := newFile(t)
	for _, row := range [][]any{
		{[]byte("a"), 1, "first"},
		{[]byte("b"), -1 << 63, "with \x00 and é"},
		{[]byte("c"), 1<<63 - 1, ""},
		{[]byte("d"), 0, nil},
		{[]byte(""), 2, "no key"},
	} {
		exec(t, db, `INSERT INTO rows VALUES (?, ?, ?)`, row...)
	}
	c := open(t, path)
	for key, want := range map[string]string{
		"a": `1 "first" "a"`,
		"b": `-9223372036854775808 "with \x00 and é" "b"`,
		"c": `9223372036854775807 "" "c"`,
		"d": `0 "" "d"`,
		"":  `2 "no key" ""`,
		"e": `none`,
	} {
		if got := read(t, c, key); got != want {
			t.Errorf("key %q: got %s, want %s", key, got, want)
		}
	}
}

// A row can be longer than the memory that a connection keeps.
func TestReadReturnsLongRows(t *testing.T) {
	path, db := newFile(t)
	sizes := []int{0, 1, 4095, 4096, 4097, 100, 1 << 20, 64 << 10, 100}
	for i, size := range sizes {
		exec(t, db, `INSERT INTO rows VALUES (?, 0, ?)`, []byte{byte(i)}, bytes.Repeat([]byte{byte('a' + i)}, size))
	}
	c := open(t, path)
	for i, size := range sizes {
		row, err := c.Read(byKey, []byte{byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		row.Int()
		if got := row.Bytes(); !bytes.Equal(got, bytes.Repeat([]byte{byte('a' + i)}, size)) {
			t.Errorf("got %d bytes, want %d bytes of %q", len(got), size, rune('a'+i))
		}
		if got := row.Bytes(); !bytes.Equal(got, []byte{byte(i)}) {
			t.Errorf("after %d bytes: got key %v, want %d", size, got, i)
		}
	}
}

func TestBlobsReadsAColumnInParts(t *testing.T) {
	path, db := newFile(t, `INSERT INTO rows VALUES (x'', 0, ''), (x'6161', 0, '')`)
	var want []byte
	for i := range 100 {
		want = append(want, byte(i))
		exec(t, db, `INSERT INTO rows VALUES (?, 0, '')`, []byte{byte(i)})
	}
	c := open(t, path)
	keys := direct.NewQuery(`SELECT key FROM rows WHERE key > ?1 ORDER BY key`)
	for _, size := range []int{1, 7, 50, 99, 100, 101, 1000} {
		part, last, got := make([]byte, size), []byte{}, []byte{}
		for all := false; !all; {
			var n int
			var err error
			if n, all, err = c.Blobs(keys, last, 1, part); err != nil {
				t.Fatal(err)
			}
			if n == 0 && !all {
				t.Fatalf("parts of %d: got nothing before the end", size)
			}
			if got = append(got, part[:n]...); n > 0 {
				last = []byte{part[n-1]}
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("parts of %d: got %v, want %v, without values of other lengths", size, got, want)
		}
	}
	if n, all, err := c.Blobs(direct.NewQuery(`SELECT key FROM rows WHERE key > ?1`), []byte{0xff}, 1, make([]byte, 10)); n != 0 || !all || err != nil {
		t.Errorf("no rows: got %d, %v, %v, want 0 and all", n, all, err)
	}
	var failed sqlite3.Error
	if _, _, err := c.Blobs(direct.NewQuery(`SELECT nothing FROM rows`), nil, 1, make([]byte, 10)); !errors.As(err, &failed) {
		t.Errorf("a wrong statement: got %v, want an error of SQLite", err)
	}
}

func TestReadSeesEachCommit(t *testing.T) {
	path, db := newFile(t, `INSERT INTO rows VALUES (x'61', 0, '')`)
	c := open(t, path)
	for i := range 100 {
		exec(t, db, `UPDATE rows SET n = ?`, i)
		if got, want := read(t, c, "a"), fmt.Sprintf(`%d "" "a"`, i); got != want {
			t.Fatalf("after commit %d: got %s, want %s", i, got, want)
		}
	}
	// No read keeps the write-ahead log from being truncated.
	var busy, frames, copied int
	if err := db.QueryRow(`PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &copied); err != nil || busy != 0 {
		t.Errorf("got %d, %v from a checkpoint, want 0", busy, err)
	}
}

func TestAChangedTableIsReadAgain(t *testing.T) {
	path, db := newFile(t, `INSERT INTO rows VALUES (x'61', 1, 'one')`)
	c := open(t, path)
	read(t, c, "a")
	exec(t, db, `ALTER TABLE rows ADD COLUMN further`)
	if got, want := read(t, c, "a"), `1 "one" "a"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAValueOfAnotherTypeIsAnError(t *testing.T) {
	path, _ := newFile(t, `INSERT INTO rows VALUES (x'61', 'text', 1), (x'62', NULL, 1.5)`)
	c := open(t, path)
	for key, take := range map[string]func(*direct.Row){
		"a": func(r *direct.Row) { r.Int() },
		"b": func(r *direct.Row) { r.Bytes(); r.Bytes() },
	} {
		row, err := c.Read(byKey, []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		take(row)
		if row.Err() == nil {
			t.Errorf("key %s: got no error, want one", key)
		}
		if got := row.Bytes(); got != nil {
			t.Errorf("key %s: got %q after an error, want nothing", key, got)
		}
	}
	narrow := direct.NewQuery(`SELECT 1`)
	row, err := c.Read(narrow, nil)
	if err != nil {
		t.Fatal(err)
	}
	if row.Int(); row.Err() != nil {
		t.Fatal(row.Err())
	}
	if row.Int(); row.Err() == nil {
		t.Error("a column that the row lacks: got no error, want one")
	}
}

// The errors are those that the driver would return, so that callers can classify them.
func TestErrorsAreThoseOfTheDriver(t *testing.T) {
	path, db := newFile(t, `INSERT INTO rows VALUES (x'61', 1, '')`)
	c := open(t, path)
	var failed sqlite3.Error

	if _, err := c.Read(direct.NewQuery(`SELECT nothing FROM rows`), nil); !errors.As(err, &failed) || failed.Code != sqlite3.ErrError {
		t.Errorf("a wrong statement: got %v", err)
	}
	if _, err := c.Read(direct.NewQuery(`DELETE FROM rows`), nil); !errors.As(err, &failed) || failed.Code != sqlite3.ErrReadonly {
		t.Errorf("a statement that writes: got %v", err)
	}
	if got, want := read(t, c, "a"), `1 "" "a"`; got != want {
		t.Errorf("after these errors: got %s, want %s", got, want)
	}

	if _, err := direct.Open(filepath.Join(t.TempDir(), "missing.db"), 64, time.Second); !errors.As(err, &failed) || failed.Code != sqlite3.ErrCantOpen || failed.SystemErrno != syscall.ENOENT {
		t.Errorf("a missing file: got %v", err)
	}

	exec(t, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(content); i++ {
		content[i] = 0xff
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	c = open(t, path)
	if _, err := c.Read(byKey, []byte("a")); !errors.As(err, &failed) || failed.Code != sqlite3.ErrCorrupt {
		t.Errorf("a damaged file: got %v", err)
	}
}

// Connections of the process do not disturb each other or the driver's.
func TestConnectionsReadBesideAWriter(t *testing.T) {
	path, db := newFile(t)
	const rows = 100
	for i := range rows {
		exec(t, db, `INSERT INTO rows VALUES (?, 0, '0')`, []byte{byte(i)})
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		c := open(t, path)
		readers.Go(func() {
			last := make([]int64, rows)
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				key := i % rows
				row, err := c.Read(byKey, []byte{byte(key)})
				if err != nil {
					t.Error(err)
					return
				}
				n, text := row.Int(), row.Bytes()
				if n < last[key] || string(text) != fmt.Sprint(n) {
					t.Errorf("got %d and %q after %d, want the same number, and no smaller one", n, text, last[key])
					return
				}
				last[key] = n
			}
		})
	}
	for i := range 300 {
		exec(t, db, `UPDATE rows SET n = ?1, text = CAST(?1 AS TEXT)`, i)
	}
	close(done)
	readers.Wait()
}
