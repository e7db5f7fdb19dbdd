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

// A DamagedError is returned for a read model whose rows are not those that it was built
// with.
type DamagedError struct {
	// Dir is the node's folder.
	Dir string
	// Reason says what is wrong with the file.
	Reason string
}

// Error says what is wrong, and where else to look.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the read model in %s is damaged: %s. Its files were not changed. Use the data folder of another node, or an earlier snapshot", e.Dir, e.Reason)
}

// Copy writes the read model of a node that doesn't run into an ordinary file at
// path, and checks all of it: that SQLite finds it whole, and that the rows are those
// that the digests stand for. It needs no broker and changes nothing in the node's folder,
// whose lock the caller holds. It returns a [DamagedError] for a file that is not sound,
// and a [refusal.Error] for one of another version. progress, if not nil, is told how many
// rows were checked, now and then. If there is an error nothing is left at path.
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

// settle takes what was committed into the file itself, and has SQLite check its pages.
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
