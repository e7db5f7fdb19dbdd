package offline

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// A DamagedError is returned for a read model whose rows differ from those that it was built with.
type DamagedError struct {
	// Dir is the node's folder.
	Dir string
	// Reason says what is wrong with the file.
	Reason string
}

// Error says what is wrong, and what to use instead.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the read model in %s is damaged: %s. Its files were not changed. Use the data folder of another node, or an earlier snapshot", e.Dir, e.Reason)
}

// Copy copies the read model of a stopped node into an ordinary file at path, and checks all of
// it: the structure of the database, and its rows against the digests. It needs no broker, and
// changes nothing in the node's folder, whose lock the caller holds. It returns a
// [DamagedError] if the file is not sound, and a [refusal.Error] if it has another version.
// progress, if not nil, is called at intervals with the number of rows checked. If there is an
// error, Copy leaves no file at path.
func Copy(ctx context.Context, dir, path string, progress func(done, all int64) error) (built Built, err error) {
	source, err := datafolder.Folder{Dir: dir}.Serving()
	if err != nil {
		return Built{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, sqlite.RemoveDatabase(path))
		}
	}()
	if err := sqlite.CopyWithJournals(source, path); err != nil {
		return Built{}, err
	}
	if err := settle(ctx, path); err != nil {
		if ctx.Err() != nil {
			return Built{}, ctx.Err()
		}
		return Built{}, &DamagedError{dir, err.Error()}
	}
	if err := Convert(ctx, path); err != nil {
		return Built{}, err
	}
	if built, err = Inspect(ctx, path); err != nil {
		if not := (*NotAProjectionError)(nil); errors.As(err, &not) {
			return Built{}, &DamagedError{dir, not.Err.Error()}
		}
		return Built{}, err
	}
	if built.Topic == "" {
		return Built{}, fmt.Errorf("the read model in %s is empty: no record was ever applied to it", dir)
	}
	differ, err := reads.UnlikeDigests(ctx, path, progress)
	if err == nil && len(differ) > 0 {
		err = &DamagedError{dir, "the rows of " + strings.Join(differ, ", ") + " do not match their digests"}
	}
	return built, err
}

// settle merges the write-ahead log into the file, and has SQLite check the pages.
func settle(ctx context.Context, path string) (err error) {
	db, err := sqlite.Connect(ctx, path, 1, url.Values{"mode": {"rw"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := sqlite.MergeWAL(ctx, db, path); err != nil {
		return err
	}
	var found []string
	if err := db.SelectContext(ctx, &found, `PRAGMA integrity_check(3)`); err != nil {
		return err
	}
	if !slices.Equal(found, []string{"ok"}) {
		return errors.New(strings.Join(found, "; "))
	}
	return nil
}
