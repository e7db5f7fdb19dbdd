package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/clusterlite/clusterlite/events/atomicfile"
)

// A repair loses nothing that was acknowledged. No repair begins before the whole folder has
// passed the check.
type repair interface {
	apply(stamp string, logger *slog.Logger) error
}

// cut removes the remains of an interrupted write from the end of a file, after it has saved a
// copy.
type cut struct {
	file  string
	size  int64
	found string
}

func (c cut) apply(stamp string, logger *slog.Logger) error {
	kept := c.file + ".torn-" + stamp
	if err := copyFile(c.file, kept, c.size); err != nil {
		return err
	}
	f, err := os.OpenFile(c.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Truncate(c.size)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("truncate %s at byte %d: %w", c.file, c.size, err)
	}
	logger.Warn("the embedded broker truncated a write that was interrupted and never acknowledged; no event is lost",
		"file", c.file, "offset", c.size, "bytes", info.Size()-c.size, "found", c.found, "copy", kept)
	return nil
}

// rewrite replaces a file that is derived from others, or removes it if content is nil.
type rewrite struct {
	file    string
	content []byte
	keep    bool // keep a copy of the old file, which an operator may want to inspect
	why     string
}

func (r rewrite) apply(stamp string, logger *slog.Logger) error {
	if r.keep {
		kept := r.file + ".damaged-" + stamp
		if err := copyFile(r.file, kept, 0); err != nil {
			return err
		}
		logger.Warn("the embedded broker replaced a damaged file; no event is lost", "file", r.file, "because", r.why, "copy", kept)
	}
	if r.content == nil {
		return errors.Join(os.Remove(r.file), atomicfile.SyncDir(filepath.Dir(r.file)))
	}
	return writeFile(r.file, r.content)
}

// copyFile copies a file from a position to its end, and syncs the copy.
func copyFile(from, to string, position int64) (err error) {
	in, err := os.Open(from)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(in, position, 1<<62))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("keep a copy of %s: %w", from, err)
	}
	return atomicfile.SyncDir(filepath.Dir(to))
}

// writeFile replaces a file as a whole, durably.
func writeFile(path string, content []byte) error {
	next := path + ".tmp" // after a crash the broker removes this file when it starts
	if err := os.WriteFile(next, content, 0o640); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.Replace(next, path)
}

// stampOf formats a time for the names of copies.
func stampOf(t time.Time) string { return t.UTC().Format("20060102T150405.000Z") }
