package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Sidecars are the suffixes of the files that SQLite keeps beside a database.
var Sidecars = []string{"-wal", "-shm", "-journal"}

// JournalOf returns the folder of the journal of events that belongs to a database: see package
// journal. SQLite does not know it.
func JournalOf(path string) string { return path + journalSuffix }

const journalSuffix = "-events"

// OwnerOf returns the name of the database that a file or folder belongs to, or the name itself.
func OwnerOf(name string) string {
	for _, suffix := range append([]string{journalSuffix}, Sidecars...) {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// RemoveDatabase removes a database that no process has open. It removes the file itself first,
// because a database without its write-ahead log would be taken for an earlier state, while a log
// alone has no effect.
func RemoveDatabase(path string) error {
	errs := []error{IgnoreMissing(os.Remove(path))}
	for _, suffix := range Sidecars {
		errs = append(errs, IgnoreMissing(os.Remove(path+suffix)))
	}
	return errors.Join(append(errs, os.RemoveAll(JournalOf(path)))...)
}

// IgnoreMissing returns nil if err says that a file does not exist, and err otherwise.
func IgnoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// CopyDatabase copies an ordinary database file.
func CopyDatabase(from, to string) error {
	if info, err := os.Stat(from + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("copy %s: %s exists, so a process has the file open or did not close it cleanly", from, filepath.Base(from)+"-wal")
	}
	source, err := os.Open(from) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()                                    // a read has nothing to lose
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // the mode that SQLite uses
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Sync(), target.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// A HeldFile is a file as it was when it was opened.
type HeldFile struct {
	Path string
	Info fs.FileInfo
}

// HoldFiles returns the files of a database that is open in WAL mode.
func HoldFiles(path string) (files []HeldFile, err error) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			return nil, fmt.Errorf("check the projection's files: %w", err)
		}
		files = append(files, HeldFile{path + suffix, info})
	}
	return files, nil
}

// CopyWithJournals copies a database that no process has open, together with committed content
// that has not reached the file itself.
func CopyWithJournals(from, to string) error {
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
	defer func() { _ = source.Close() }()                                     // a read has nothing to lose
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the caller's
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
