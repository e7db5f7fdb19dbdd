package projections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// CopyStopped writes the read model of a node that doesn't run into an ordinary file at
// path, and checks all of it: that SQLite finds it whole, and that the rows are those
// that the digests stand for. It needs no broker and changes nothing in the node's folder,
// whose lock the caller holds. It returns a [DamagedError] for a file that is not sound,
// and a [RefusedError] for one of another version. progress, if not nil, is told how many
// rows were checked, now and then. If there is an error nothing is left at path.
func CopyStopped(ctx context.Context, dir, path string, progress func(done, all int64) error) (built Built, err error) {
	source, err := folder{dir: dir}.serving()
	if err != nil {
		return Built{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeDatabase(path))
		}
	}()
	if err := copyWithJournals(source, path); err != nil {
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
	differ, err := unlikeDigests(ctx, path, progress)
	if err == nil && len(differ) > 0 {
		err = &DamagedError{dir, "the rows of " + strings.Join(differ, ", ") + " do not match their digests"}
	}
	return built, err
}

// serving gives the path of the generation that serves, without making or changing
// anything. It returns an error that wraps fs.ErrNotExist if there is none.
func (f folder) serving() (string, error) {
	path, err := filepath.EvalSymlinks(f.path(FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no read model found in %s: %w", f.dir, err)
	}
	return path, err
}

// copyWithJournals copies a database that nobody has open, with what was committed and
// has not reached the file itself.
func copyWithJournals(from, to string) error {
	for _, suffix := range []string{"", "-wal", "-journal"} {
		err := copyFile(from+suffix, to+suffix)
		if errors.Is(err, fs.ErrNotExist) && suffix != "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", from+suffix, err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from) //nolint:gosec // in the operator's own folder
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()                                     // it was only read
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the caller's
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// settle takes what was committed into the file itself, and has SQLite check its pages.
func settle(ctx context.Context, path string) (err error) {
	db, err := connect(ctx, path, 1, url.Values{"mode": {"rw"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := leaveWAL(ctx, db, path); err != nil {
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
