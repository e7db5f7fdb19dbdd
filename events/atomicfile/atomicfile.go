// Package atomicfile replaces files atomically. The replacement survives a power cut. A reader
// finds either the old file or the complete new one. After a function has returned without an
// error, a reader finds the new one.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write writes a file with this content and mode. If there is an error, the old file is
// unchanged, and no temporary file remains.
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

// Replace renames a file to path, and replaces the file that has this name. The new file must be
// complete, closed, and in the same file system. Its content reaches the disk before its name
// does, because in the opposite order a power cut could leave an empty file. If there is an
// error, the file usually has its old name. If only the folder could not be synced, it has the
// new name.
func Replace(from, path string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0) //nolint:gosec // the caller created it
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

// SyncDir syncs a folder, so that the names in it survive a power cut.
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
