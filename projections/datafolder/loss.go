package datafolder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// A LossError is returned instead of replacing a read model by one that lacks some of its
// entities. If the log was lost, the read model may be the only copy of them.
type LossError struct {
	// File is the read model that would be replaced.
	File string
	// Missing counts, by collection, the living entities that its replacement knows neither as
	// living nor as deleted. Collections without any are left out.
	Missing map[string]int64
	// Living is the number of living entities in File.
	Living int64
	// Unreadable is the reason why the entities in File could not be counted; nil if they were.
	// Its replacement then holds no entities at all.
	Unreadable error
	// Previous means that File does not serve, but was kept before and would be removed for
	// good.
	Previous bool
}

// Error says how many entities would be lost, and what to do.
func (e *LossError) Error() string {
	dir := filepath.Dir(e.File)
	save := fmt.Sprintf("If the log was lost, this file may be the only copy: save it with `clusterlite snapshot create STORE --data-dir %s`, and recreate the log from it with `clusterlite snapshot append STORE`.", dir)
	if e.Previous {
		save = "Move this file elsewhere first."
	}
	what := fmt.Sprintf("%d of the %d entities in %s would be lost (%s)", sumOf(e.Missing), e.Living, e.File, e.byCollection())
	if e.Unreadable != nil {
		what = fmt.Sprintf("the entities in %s can't be counted (%v), and its replacement would hold none", e.File, e.Unreadable)
	}
	if e.Previous {
		return what + ". Nothing was changed. " + save
	}
	return what + ". Nothing was changed. " + save + " To replace it anyway, use --force, which keeps it as " + PreviousName + "."
}

func (e *LossError) byCollection() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(e.Missing)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, e.Missing[name]))
	}
	return strings.Join(parts, ", ")
}

func sumOf(counts map[string]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// Loss returns what would be lost if one read model replaced another, or nil if nothing would.
// No process may have either open for writing.
func Loss(ctx context.Context, old, replacement string) (*LossError, error) {
	if _, err := os.Stat(old); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	db, err := sqlite.Connect(ctx, replacement, 1, url.Values{"mode": {"rw"}, "_query_only": {"true"}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // a read has nothing to lose
	lost := &LossError{File: old, Missing: map[string]int64{}}
	err = lost.count(ctx, db)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		var living int64
		if err := db.GetContext(ctx, &living, `SELECT coalesce(sum(living), 0) FROM _digests`); err != nil || living > 0 {
			return nil, err
		}
		lost.Unreadable = err
		return lost, nil
	}
	if len(lost.Missing) == 0 {
		return nil, nil
	}
	return lost, nil
}

// count counts what the old file has and the database lacks. The error says why the old file
// can't be read.
func (e *LossError) count(ctx context.Context, db *sqlx.DB) error {
	absolute, err := filepath.Abs(e.File)
	if err != nil {
		return err
	}
	old := url.URL{Scheme: "file", Path: absolute, RawQuery: "mode=rw"}
	if _, err := db.ExecContext(ctx, `ATTACH ? AS old`, old.String()); err != nil {
		return err
	}
	here, err := schema.Tables(ctx, db)
	if err != nil {
		return err
	}
	there, err := schema.TablesIn(ctx, db, "old.sqlite_schema")
	if err != nil {
		return err
	}
	var checkpoint int64
	if err := db.GetContext(ctx, &checkpoint, `SELECT position FROM old._checkpoint`); err != nil {
		return errors.New("it is not a read model")
	}
	var version int
	if err := db.GetContext(ctx, &version, `PRAGMA old.user_version`); err != nil {
		return err
	}
	id := `id`
	if version == schema.ConvertedVersion {
		id = schema.Unhexed
	}
	for _, name := range there {
		var living, missing int64
		if err := db.GetContext(ctx, &living, `SELECT count(*) FROM old.`+schema.Quote(name)); err != nil {
			return err
		}
		query := `SELECT count(*) FROM (SELECT ` + id + ` AS id FROM old.` + schema.Quote(name) + `) AS o
			WHERE NOT EXISTS (SELECT 1 FROM main._tombstones AS t WHERE t.collection = ? AND t.id = o.id)`
		if slices.Contains(here, name) {
			query += ` AND NOT EXISTS (SELECT 1 FROM main.` + schema.Quote(name) + ` AS n WHERE n.id = o.id)`
		}
		if err := db.GetContext(ctx, &missing, query, name); err != nil {
			return err
		}
		e.Living += living
		if missing > 0 {
			e.Missing[name] = missing
		}
	}
	return nil
}

// Keeping decides what happens to the file that serves when another replaces it. It returns an
// error if entities would be lost, unless forced, and otherwise whether to keep the file. equal
// means that the replacement is known to have everything. Keeping never gives up a file that
// was kept before and has entities that exist nowhere else.
func (f Folder) Keeping(ctx context.Context, serving, replacement string, equal, keep, force bool) (kept bool, lost *LossError, err error) {
	if !equal {
		if lost, err = Loss(ctx, serving, replacement); err != nil {
			return false, nil, err
		}
	}
	if lost != nil && !force {
		return false, nil, lost
	}
	if keep = keep || lost != nil; !keep {
		return false, nil, nil
	}
	if _, err := os.Stat(serving); errors.Is(err, fs.ErrNotExist) {
		return false, nil, nil
	}
	before, err := f.previous()
	if err != nil || before == "" || before == serving || before == replacement {
		return true, lost, err
	}
	older, err := Loss(ctx, before, replacement)
	if err != nil || older == nil {
		return true, lost, err
	}
	if again, err := Loss(ctx, before, serving); err == nil && again == nil {
		return true, lost, nil // the file that serves has everything that was kept before
	}
	if lost == nil {
		return false, nil, nil // continue to keep the earlier file
	}
	older.Previous = true
	return false, nil, older
}
