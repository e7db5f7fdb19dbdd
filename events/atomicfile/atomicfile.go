// Package atomicfile gives files their names in one step that survives a power cut: a
// reader finds the old file or the new one, whole, and once a function has returned it is
// the new one.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write makes path a file with these bytes and this mode. If there is an error the old file is still there, and nothing is left beside it.
func Write(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil {
		err = Replace(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// Replace gives a file that is complete and closed the name path, in place of the one
// that has it. The file must lie in the same file system. The contents reach the disk
// before the name does: in the other order a power cut can leave an empty file of that
// name. If there is an error the file usually has its old name; if the folder could not
// be synced it has the new one.
func Replace(from, path string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0) //nolint:gosec // the caller made it
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if err := os.Rename(from, path); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir has the names in a folder reach the disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the caller's own folder
	if err != nil {
		return fmt.Errorf("sync the folder %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync the folder %s: %w", dir, err)
	}
	return nil
}
