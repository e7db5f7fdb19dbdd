package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Copy copies the files of a journal into a folder, which it creates. The journal may be open: what
// is appended meanwhile may be missing from the copy. There may be no journal.
func Copy(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy the journal: %w", err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil { //nolint:gosec // as the data folder
		return fmt.Errorf("copy the journal: %w", err)
	}
	// Oldest first, so that a segment that is completed meanwhile is not missing between others.
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if _, ok := startOf(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("copy the journal: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from) //nolint:gosec // in the node's folder
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()                                     // a read has nothing to lose
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644) //nolint:gosec // the mode that SQLite uses
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
