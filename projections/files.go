package projections

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ofSQLite are the endings of the files that SQLite keeps beside a database.
var ofSQLite = []string{"-wal", "-shm", "-journal"}

// removeDatabase removes a database that nobody has open, the file itself first: a
// database without its log is an earlier state of itself, a log alone is nothing.
func removeDatabase(path string) error {
	errs := []error{ignoreMissing(os.Remove(path))}
	for _, suffix := range ofSQLite {
		errs = append(errs, ignoreMissing(os.Remove(path+suffix)))
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// FromFile has a rebuild start from an ordinary file, which is copied: nothing has it open,
// and no log lies beside it.
func FromFile(from string) func(ctx context.Context, path string) error {
	return func(_ context.Context, path string) error { return copyDatabase(from, path) }
}

// copyDatabase copies an ordinary database file.
func copyDatabase(from, to string) error {
	if info, err := os.Stat(from + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("copy %s: %s exists, so a process has the file open or did not close it cleanly", from, filepath.Base(from)+"-wal")
	}
	source, err := os.Open(from) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()                                    // it was only read
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as SQLite makes them
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Sync(), target.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}
