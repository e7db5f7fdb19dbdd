package walbuffer_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite/walbuffer"
)

// Two files get the same statements, one through the VFS and one through the default one. After
// each statement both have the same rows, and the same frames in their logs.
func TestSameAsTheDefault(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		settings := url.Values{
			"_synchronous": {rapid.SampledFrom([]string{"OFF", "NORMAL", "FULL"}).Draw(rt, "synchronous")},
			// Without it, SQLite repeats the last frame up to the end of a sector if it is FULL.
			"psow": {rapid.SampledFrom([]string{"0", "1"}).Draw(rt, "power-safe overwrites")},
		}
		ours := create(t, filepath.Join(dir, fmt.Sprintf("%d-a.db", n)), walbuffer.VFS, settings)
		theirs := create(t, filepath.Join(dir, fmt.Sprintf("%d-b.db", n)), "", settings)
		defer ours.close()
		defer theirs.close()
		cache := rapid.SampledFrom([]int{1, 4, 10, 1000}).Draw(rt, "cache")
		for _, f := range []*file{ours, theirs} {
			f.exec(fmt.Sprintf(`PRAGMA cache_size = %d`, cache))
			f.exec(`PRAGMA cache_spill = 1`)
			f.exec(fmt.Sprintf(`PRAGMA journal_size_limit = %d`, 1<<14))
		}
		in := false // a transaction
		for range rapid.IntRange(1, 20).Draw(rt, "statements") {
			statement, byReader := draw(rt, &in)
			var failures [2]error
			for i, f := range []*file{ours, theirs} {
				conn := f.writer
				if byReader {
					conn = f.reader
				}
				_, failures[i] = conn.Exec(statement)
			}
			if (failures[0] == nil) != (failures[1] == nil) {
				rt.Fatalf("%s: got %v, want %v", statement, failures[0], failures[1])
			}
			// A read of the writer writes its buffer out, so that does not happen after each statement.
			if rapid.Bool().Draw(rt, "the writer reads") {
				if got, want := rows(t, ours.writer), rows(t, theirs.writer); got != want {
					rt.Fatalf("%s: got %.300q for the writer, want %.300q", statement, got, want)
				}
			}
			if got, want := rows(t, ours.reader), rows(t, theirs.reader); got != want {
				rt.Fatalf("%s: got %.300q for a reader, want %.300q", statement, got, want)
			}
			if got, want := frames(t, ours.path), frames(t, theirs.path); !slices.Equal(got, want) {
				rt.Fatalf("%s: got frames %v, want %v", statement, got, want)
			}
		}
		if in {
			ours.exec(`ROLLBACK`)
		}
		ours.expect(rows(t, ours.writer))
	})
}

// draw returns a statement, and whether the other connection runs it.
func draw(rt *rapid.T, in *bool) (statement string, byReader bool) {
	insert := func() string {
		from := rapid.IntRange(1, 60).Draw(rt, "from")
		to := from + rapid.IntRange(0, 200).Draw(rt, "rows")
		text := strings.Repeat(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "text"), rapid.SampledFrom([]int{10, 600, 3000}).Draw(rt, "length"))
		return fmt.Sprintf(`WITH n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT OR REPLACE INTO t SELECT i, '%s' FROM n`, from, to, text)
	}
	if *in {
		switch rapid.IntRange(0, 8).Draw(rt, "kind") {
		case 0:
			*in = false
			return `COMMIT`, false
		case 1:
			*in = false
			return `ROLLBACK`, false
		case 2:
			return `SAVEPOINT s`, false
		case 3:
			return `ROLLBACK TO s`, false // fails without a savepoint
		case 4:
			return fmt.Sprintf(`DELETE FROM t WHERE id %% %d = 0`, rapid.IntRange(1, 3).Draw(rt, "each")), false
		case 5:
			return `UPDATE t SET v = upper(v)`, false
		}
		return insert(), false
	}
	switch rapid.IntRange(0, 5).Draw(rt, "kind") {
	case 0:
		return insert(), true
	case 1:
		return `PRAGMA wal_checkpoint(` + rapid.SampledFrom([]string{"PASSIVE", "RESTART", "TRUNCATE"}).Draw(rt, "mode") + `)`, rapid.Bool().Draw(rt, "by the other")
	case 2:
		return insert(), false
	}
	*in = true
	return `BEGIN IMMEDIATE`, false
}
