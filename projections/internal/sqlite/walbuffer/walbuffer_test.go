package walbuffer_test

import (
	"bufio"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite/walbuffer"
)

const pageSize = 1024

// A file is a database with a connection that writes, and one of the default VFS that reads.
type file struct {
	testing.TB
	path   string
	writer *sql.DB
	reader *sql.DB
}

// create makes a file with a table t. Its writer uses the VFS, or the default one if it is empty.
func create(t testing.TB, path, vfs string, settings url.Values) *file {
	t.Helper()
	with := url.Values{"_synchronous": {"NORMAL"}}
	maps.Copy(with, settings)
	if vfs != "" {
		with.Set("vfs", vfs)
	}
	f := &file{TB: t, path: path, writer: connect(t, path, with)}
	f.exec(fmt.Sprintf(`PRAGMA page_size = %d`, pageSize))
	f.exec(`PRAGMA journal_mode = WAL`)
	f.exec(`PRAGMA wal_autocheckpoint = 0`)
	f.exec(`CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)`)
	f.reader = connect(t, path, url.Values{})
	return f
}

func connect(t testing.TB, path string, settings url.Values) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?"+settings.Encode())
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// close closes the connections before the end of the test.
func (f *file) close() {
	f.Helper()
	for _, db := range []*sql.DB{f.reader, f.writer} {
		if err := db.Close(); err != nil {
			f.Error(err)
		}
	}
}

func (f *file) exec(statement string, args ...any) {
	f.Helper()
	if _, err := f.writer.Exec(statement, args...); err != nil {
		f.Fatalf("%s: %v", statement, err)
	}
}

// smallCache lets SQLite write pages of a transaction to the log before it commits.
func (f *file) smallCache() {
	f.Helper()
	f.exec(`PRAGMA cache_size = 4`)
	f.exec(`PRAGMA cache_spill = 1`)
}

// fill inserts or replaces rows, each of which takes a page.
func (f *file) fill(from, to int, text string) {
	f.Helper()
	for id := from; id <= to; id++ {
		f.exec(`INSERT OR REPLACE INTO t VALUES (?, ?)`, id, strings.Repeat(text, 600))
	}
}

// rows returns the table as a connection sees it: the id, text and length of each row.
func rows(t testing.TB, db *sql.DB) string {
	t.Helper()
	var got string
	const query = `SELECT coalesce(group_concat(id || substr(v, 1, 1) || length(v), ' '), '') FROM (SELECT * FROM t ORDER BY id)`
	if err := db.QueryRow(query).Scan(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// filled is what rows returns for rows that fill has written.
func filled(from, to int, text string) string {
	var all []string
	for id := from; id <= to; id++ {
		all = append(all, fmt.Sprintf("%d%s600", id, text))
	}
	return strings.Join(all, " ")
}

// expect checks what a reader sees now, and what a process would find after a crash at this moment.
func (f *file) expect(want string) {
	f.Helper()
	if got := rows(f, f.reader); got != want {
		f.Fatalf("got rows %.200q, want %.200q", got, want)
	}
	copied := filepath.Join(f.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(f.path + suffix)
		if err == nil {
			err = os.WriteFile(copied+suffix, data, 0o600)
		}
		if err != nil {
			f.Fatal(err)
		}
	}
	db := connect(f, copied, url.Values{})
	var health string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&health); err != nil || health != "ok" {
		f.Fatalf("got %q and %v from the check of a copy", health, err)
	}
	if got := rows(f, db); got != want {
		f.Fatalf("got rows %.200q in a copy, want %.200q", got, want)
	}
	if err := db.Close(); err != nil {
		f.Error(err)
	}
}

// A frame is one page in a log: its number, and the size of the database if it commits.
type frame struct{ page, commits uint32 }

// frames returns the frames of a log up to the last that commits, as SQLite recovers them.
func frames(t testing.TB, path string) []frame {
	t.Helper()
	log, err := os.ReadFile(path + "-wal")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if len(log) < 32 {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if binary.BigEndian.Uint32(log)&1 == 1 {
		order = binary.BigEndian
	}
	var sum [2]uint32
	add := func(data []byte) {
		for ; len(data) > 0; data = data[8:] {
			sum[0] += order.Uint32(data) + sum[1]
			sum[1] += order.Uint32(data[4:]) + sum[0]
		}
	}
	add(log[:24])
	salts := string(log[16:24])
	var all []frame
	committed := 0
	for at := log[32:]; len(at) >= 24+pageSize; at = at[24+pageSize:] {
		add(at[:8])
		add(at[24 : 24+pageSize])
		if string(at[8:16]) != salts || binary.BigEndian.Uint32(at[16:]) != sum[0] || binary.BigEndian.Uint32(at[20:]) != sum[1] {
			break
		}
		all = append(all, frame{binary.BigEndian.Uint32(at), binary.BigEndian.Uint32(at[4:])})
		if all[len(all)-1].commits != 0 {
			committed = len(all)
		}
	}
	return all[:committed]
}

// Readers see a transaction as soon as it has committed, and it was written with one call.
func TestOneWriteATransaction(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "a.db"), walbuffer.VFS, nil)
	for n := range 20 {
		before := walbuffer.Writes()
		f.exec(`BEGIN IMMEDIATE`)
		f.fill(2*n+1, 2*n+2, "a")
		f.exec(`COMMIT`)
		if got := walbuffer.Writes() - before; got != 1 {
			t.Errorf("got %d writes for transaction %d, want 1", got, n)
		}
		f.expect(filled(1, 2*n+2, "a"))
	}
}

// Both files get the same statements, so their logs have the same frames.
func TestTheSameLog(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := create(t, filepath.Join(dir, "a.db"), walbuffer.VFS, nil), create(t, filepath.Join(dir, "b.db"), "", nil)
	for _, text := range []string{"a", "b"} {
		for _, f := range []*file{ours, theirs} {
			f.exec(`BEGIN`)
			f.fill(1, 400, text) // larger than the buffer
			f.exec(`COMMIT`)
		}
		ours.expect(filled(1, 400, text))
		if got, want := frames(t, ours.path), frames(t, theirs.path); !slices.Equal(got, want) || len(got) < 400 {
			t.Fatalf("got %d frames, want the same as the default VFS writes, which are %d", len(got), len(want))
		}
	}
}

// A transaction that wrote pages before it was rolled back leaves nothing, also if another
// connection writes next, at the same offsets of the log.
func TestRollback(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "a.db"), walbuffer.VFS, nil)
	f.smallCache()
	f.fill(1, 3, "a")
	for n := range 20 {
		f.exec(`BEGIN IMMEDIATE`)
		// One statement that only appends, so that it reads nothing of what it wrote.
		f.exec(`WITH n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t SELECT i, ? FROM n`, 1020+n, strings.Repeat("b", 600))
		f.exec(`ROLLBACK`)
		db := f.reader
		if n%2 == 0 {
			db = f.writer
		}
		if _, err := db.Exec(`INSERT INTO t VALUES (?, ?)`, 4+n, strings.Repeat("a", 600)); err != nil {
			t.Fatal(err)
		}
		if got, want := rows(t, f.writer), filled(1, 4+n, "a"); got != want {
			t.Fatalf("got rows %.200q, want %.200q", got, want)
		}
		f.expect(filled(1, 4+n, "a"))
	}
}

// Frames before a savepoint stay, and those after it go, when the transaction returns to it.
func TestRollbackToASavepoint(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "a.db"), walbuffer.VFS, nil)
	f.smallCache()
	for range 3 {
		f.exec(`BEGIN`)
		f.fill(1, 30, "a")
		f.exec(`SAVEPOINT s`)
		f.fill(31, 60, "b")
		f.exec(`ROLLBACK TO s`)
		f.fill(31, 50, "c")
		f.exec(`COMMIT`)
		f.expect(filled(1, 30, "a") + " " + filled(31, 50, "c"))
		f.exec(`DELETE FROM t`)
	}
}

// Pages that were written and change again in the same transaction are overwritten in the log,
// with checksums that are computed after the frame that commits was written.
func TestOverwrittenFrames(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "a.db"), walbuffer.VFS, nil)
	f.smallCache()
	for _, texts := range []string{"ab", "cde", "fg"} {
		f.exec(`BEGIN`)
		for _, text := range strings.Split(texts, "") {
			f.fill(1, 40, text)
		}
		f.exec(`COMMIT`)
		f.expect(filled(1, 40, texts[len(texts)-1:]))
	}
}

// limited runs do while no file of the process can grow beyond a size.
func limited(t *testing.T, size uint64, do func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

func sizeOfLog(t *testing.T, f *file) uint64 {
	t.Helper()
	info, err := os.Stat(f.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return uint64(info.Size())
}

// A COMMIT whose write fails has failed, and changes nothing.
func TestCommitFails(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "a.db"), walbuffer.VFS, nil)
	f.fill(1, 100, "a")
	for n := range 5 {
		f.exec(`BEGIN IMMEDIATE`)
		f.fill(1, 10, "b")
		limited(t, sizeOfLog(t, f)+uint64(900*n), func() {
			if _, err := f.writer.Exec(`COMMIT`); err == nil {
				t.Error("got no error from COMMIT on a full disk")
			}
		})
		_, _ = f.writer.Exec(`ROLLBACK`) // SQLite may have rolled back by itself
		f.expect(filled(1, 100+n, "a"))
		f.fill(101+n, 101+n, "a")
		f.expect(filled(1, 101+n, "a"))
	}
}

// If pages of a transaction could not be written when they left the buffer, it can't commit, even
// if the disk has room again. SQLite undoes only the statement that met the full disk, and lets
// the transaction go on.
func TestLostFrames(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("can't mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	f := create(t, filepath.Join(dir, "a.db"), walbuffer.VFS, nil)
	f.fill(1, 10, "a")
	f.smallCache()
	f.exec(`BEGIN IMMEDIATE`)
	f.exec(`WITH n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1060) INSERT INTO t SELECT i, ? FROM n`, strings.Repeat("b", 600))
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want a full disk", err)
	}
	if _, err := f.writer.Exec(`INSERT INTO t SELECT id + 1000, v FROM t WHERE id >= 1000`); err == nil {
		t.Error("got no error for a statement that reads what could not be written")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := f.writer.Exec(`COMMIT`); err == nil {
		t.Error("got no error from COMMIT after its pages were lost")
	}
	_, _ = f.writer.Exec(`ROLLBACK`) // SQLite may have rolled back by itself
	f.expect(filled(1, 10, "a"))
	f.fill(1, 10, "c")
	f.expect(filled(1, 10, "c"))
}

// A new file that had no log at first gets one, as that of a rebuild does.
func TestLogOfALaterTime(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "a.db"), walbuffer.VFS, nil)
	if err := f.reader.Close(); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"DELETE", "OFF", "WAL", "DELETE", "WAL"} {
		f.exec(`PRAGMA journal_mode = ` + mode)
		f.fill(1, 5, mode[:1])
	}
	before := walbuffer.Writes()
	f.exec(`BEGIN`)
	f.fill(1, 20, "x")
	f.exec(`COMMIT`)
	if got := walbuffer.Writes() - before; got != 1 {
		t.Errorf("got %d writes, want 1", got)
	}
	f.reader = connect(t, f.path, url.Values{})
	f.expect(filled(1, 20, "x"))
}

// A connection that keeps the file to itself does not lock the log for each transaction.
func TestExclusiveConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	f := create(t, path, walbuffer.VFS, nil)
	if err := f.reader.Close(); err != nil {
		t.Fatal(err)
	}
	f.smallCache()
	f.exec(`PRAGMA locking_mode = EXCLUSIVE`)
	for range 3 {
		f.exec(`BEGIN`)
		f.fill(1, 20, "b")
		f.exec(`ROLLBACK`)
		f.fill(1, 10, "a")
	}
	f.close()
	if got, want := rows(t, connect(t, path, url.Values{})), filled(1, 10, "a"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

const killedFile = "CLUSTERLITE_TEST_KILLED_FILE"

// What a process had committed when it was killed is in the file, and nothing of the transaction
// that it was in.
func TestKilled(t *testing.T) {
	if path := os.Getenv(killedFile); path != "" {
		writeUntilKilled(t, path)
	}
	for n := range 5 {
		path := filepath.Join(t.TempDir(), "a.db")
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), killedFile+"="+path)
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines, done := bufio.NewScanner(out), 0
		for done < 40+17*n && lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "committed %d", &done); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		db := connect(t, path, url.Values{})
		var health string
		if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&health); err != nil || health != "ok" {
			t.Fatalf("got %q and %v from the check", health, err)
		}
		var last int
		if err := db.QueryRow(`SELECT max(id) FROM t`).Scan(&last); err != nil {
			t.Fatal(err)
		}
		if got, want := rows(t, db), filled(1, last, "a"); got != want || last%5 != 0 || last/5 < done {
			t.Errorf("got %d rows after %d transactions of 5 rows, and last id %d", len(strings.Fields(got)), done, last)
		}
	}
}

func writeUntilKilled(t *testing.T, path string) {
	f := create(t, path, walbuffer.VFS, nil)
	f.smallCache()
	for n := 1; ; n++ {
		if n%3 == 0 {
			f.exec(`BEGIN IMMEDIATE`)
			f.fill(5*n+1, 5*n+30, "b")
			f.exec(`ROLLBACK`)
		}
		f.exec(`BEGIN IMMEDIATE`)
		if n%2 == 0 {
			f.fill(5*n-4, 5*n, "b") // pages that are overwritten
		}
		f.fill(5*n-4, 5*n, "a")
		f.exec(`COMMIT`)
		if _, err := fmt.Printf("committed %d\n", n); err != nil {
			t.Fatal(err)
		}
		if n%20 == 0 {
			f.exec(`PRAGMA wal_checkpoint(RESTART)`)
		}
	}
}

// Files that are no database and no log belong to the default VFS, such as the pages of a large sort.
func TestOtherFiles(t *testing.T) {
	f := create(t, filepath.Join(t.TempDir(), "a.db"), walbuffer.VFS, nil)
	f.exec(`PRAGMA temp_store = FILE`)
	f.exec(`PRAGMA cache_size = 4`)
	f.exec(`CREATE TEMP TABLE copies AS WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i, hex(randomblob(200)) v FROM n`)
	f.exec(`CREATE INDEX temp.by_v ON copies (v)`)
	f.exec(`ATTACH ? AS other`, f.path+"-other")
	f.exec(`CREATE TABLE other.o AS SELECT * FROM copies`)
	f.exec(`DETACH other`)
	if _, err := os.Stat(f.path + "-other"); err != nil {
		t.Error(err)
	}
	missing := connect(t, filepath.Join(t.TempDir(), "no", "a.db"), url.Values{"vfs": {walbuffer.VFS}})
	if err := missing.Ping(); err == nil {
		t.Error("got no error for a file in a folder that does not exist")
	}
}
