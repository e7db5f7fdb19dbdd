// Package datafolder manages the files in a node's data folder: the lock, the numbered
// generations of the read model's file, and the links that say which generation serves.
package datafolder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events/atomicfile"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// Exists reports whether a node's folder has a projection. The caller holds its lock.
func Exists(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, FileName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Install makes an ordinary file the projection of a stopped node, and replaces the one that it
// has, if any. It renames the file, and the next start of the node uses it. The file must be on
// the file system of the folder, whose lock the caller holds.
func Install(dir, path string) error {
	// The next start takes the ordinary file for the newest generation, and removes files that
	// no link names.
	return atomicfile.Replace(path, filepath.Join(dir, FileName))
}

// Restore is [Install] for a folder that may have a projection already. It returns a
// [LossError] if that projection has entities that the file lacks, unless forced; the
// projection is then kept. kept is the path of the replaced projection if it was kept, and
// empty otherwise.
func Restore(ctx context.Context, dir, path string, force bool) (kept string, err error) {
	f := Folder{Dir: dir}
	if err := f.adopt(); err != nil {
		return "", fmt.Errorf("install %s: %w", f.path(FileName), err)
	}
	serving, err := f.follow(FileName)
	if err != nil {
		return "", err
	}
	if serving != "" {
		keep, _, err := f.Keeping(ctx, serving, path, false, false, force)
		if err != nil {
			return "", err
		}
		if keep {
			if err := f.point(PreviousName, serving); err != nil {
				return "", err
			}
			kept = serving
		}
	}
	return kept, Install(dir, path)
}

const (
	// FileName is the name of a projection's file in its node's data folder. It is a symbolic
	// link to the generation that serves, and is replaced by a rename. An ordinary file put in
	// its place becomes the newest generation when the projection is opened.
	FileName = "projection.db"
	// PreviousName is the link to the generation that served before, if it was kept.
	PreviousName = "projection.previous.db"

	// damagedPrefix begins the names of damaged files that were replaced and kept for analysis.
	// Nothing opens them.
	damagedPrefix = "projection.damaged-"

	// linking is the temporary name of a link that is about to replace another.
	linking = "projection.link"
)

// ErrNothingKept means that no earlier generation was kept, so a rebuild can't go back to one.
var ErrNothingKept = errors.New("no earlier file was kept")

// A Folder holds the files of a node's projection: numbered generations, and links that name
// those in use. Generations that no link names were left by an unfinished rebuild. Only the
// holder of the folder's lock changes it.
type Folder struct{ Dir string }

func (f Folder) path(name string) string { return filepath.Join(f.Dir, name) }

// FileNameOf returns the file name of a generation.
func FileNameOf(number int) string { return fmt.Sprintf("projection.%d.db", number) }

// generationNumber returns 0 for a name that is not a generation's.
func generationNumber(name string) int {
	digits := strings.TrimSuffix(strings.TrimPrefix(name, "projection."), ".db")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || FileNameOf(n) != name {
		return 0
	}
	return n
}

// Open returns the path of the generation that serves, and removes what a crash has left. In a
// new folder no file exists at the path.
func (f Folder) Open() (path string, err error) {
	if err := f.adopt(); err != nil {
		return "", fmt.Errorf("install %s: %w", f.path(FileName), err)
	}
	if path, err = f.follow(FileName); err != nil {
		return "", err
	}
	if path == "" {
		if path, err = f.next(); err != nil {
			return "", err
		}
		// Sync, or a power loss could leave a generation that no link names, which would be
		// removed.
		if err := errors.Join(f.point(FileName, path), f.Sync()); err != nil {
			return "", err
		}
	}
	return path, f.Tidy()
}

// follow returns the path that a link names, or an empty path if there is no link.
func (f Folder) follow(link string) (path string, err error) {
	target, err := os.Readlink(f.path(link))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find the projection's file: %w", err)
	}
	if !filepath.IsAbs(target) {
		target = f.path(target)
	}
	return target, nil
}

// point makes a link name a generation, in one step. It does not sync: see Sync.
func (f Folder) point(link, path string) error {
	made := f.path(linking)
	// The link is relative, so that the folder can be moved and copied.
	err := errors.Join(sqlite.IgnoreMissing(os.Remove(made)), os.Symlink(filepath.Base(path), made))
	if err == nil {
		err = os.Rename(made, f.path(link))
	}
	if err != nil {
		return fmt.Errorf("point %s to %s: %w", link, filepath.Base(path), err)
	}
	return nil
}

// adopt turns an ordinary file with the projection's name into a generation. Until the last
// step the file stays where it was.
func (f Folder) adopt() error {
	info, err := os.Lstat(f.path(FileName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	if err != nil {
		return err
	}
	path, err := f.next()
	if err != nil {
		return err
	}
	// Keep what the file has not merged from its write-ahead log. SQLite recreates the -shm
	// file.
	if err := sqlite.IgnoreMissing(os.Link(f.path(FileName)+"-wal", path+"-wal")); err != nil {
		return err
	}
	if err := os.Link(f.path(FileName), path); err != nil {
		return err
	}
	if err := f.point(FileName, path); err != nil {
		return err
	}
	return f.Sync()
}

// next returns the path for a new generation.
func (f Folder) next() (path string, err error) {
	numbers, err := f.generations()
	highest := 0
	for _, n := range numbers {
		highest = max(highest, n)
	}
	return f.path(FileNameOf(highest + 1)), err
}

func (f Folder) generations() (numbers []int, err error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return nil, fmt.Errorf("read the data folder: %w", err)
	}
	for _, e := range entries {
		// A file that SQLite keeps beside a database may be left alone, and so may its journal.
		if n := generationNumber(sqlite.OwnerOf(e.Name())); n > 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// Tidy removes generations that no link names, and links that name nothing.
func (f Folder) Tidy() error {
	serving, err := f.follow(FileName)
	if err != nil {
		return err
	}
	previous, err := f.previous()
	if err != nil {
		return err
	}
	errs := []error{sqlite.IgnoreMissing(os.Remove(f.path(linking)))}
	if previous == "" || previous == serving {
		errs = append(errs, sqlite.IgnoreMissing(os.Remove(f.path(PreviousName))))
	}
	for _, suffix := range sqlite.Sidecars { // such files beside a link belong to nothing
		errs = append(errs, sqlite.IgnoreMissing(os.Remove(f.path(FileName)+suffix)))
	}
	numbers, err := f.generations()
	errs = append(errs, err)
	for _, n := range numbers {
		if path := f.path(FileNameOf(n)); path != serving && path != previous {
			errs = append(errs, sqlite.RemoveDatabase(path))
		}
	}
	return errors.Join(errs...)
}

// previous returns the path of the generation that was kept, or an empty path.
func (f Folder) previous() (path string, err error) {
	if path, err = f.follow(PreviousName); err != nil || path == "" {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", sqlite.IgnoreMissing(err)
	}
	return path, nil
}

// Replace points the links to another generation.
func (f Folder) Replace(serving, path string, keep bool) error {
	if keep {
		// First, because a crash loses a generation that no link names.
		if err := f.point(PreviousName, serving); err != nil {
			return err
		}
	}
	return f.point(FileName, path)
}

// SetAside links a damaged file under another name, which remains when the file is removed, and
// returns that name. It is empty if there is no file. It removes earlier damaged files, because
// each takes as much room.
func (f Folder) SetAside(path string, now time.Time) (kept string, err error) {
	before, err := filepath.Glob(f.path(damagedPrefix) + "*")
	if err != nil {
		return "", fmt.Errorf("list the damaged files that were kept: %w", err)
	}
	kept = f.path(damagedPrefix + now.UTC().Format("20060102T150405.000Z") + ".db")
	err = os.Link(path, kept)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = sqlite.IgnoreMissing(os.Link(path+"-wal", kept+"-wal"))
	}
	for _, old := range before {
		err = errors.Join(err, sqlite.IgnoreMissing(os.Remove(old)))
	}
	if err != nil {
		return "", fmt.Errorf("keep the damaged file %s: %w", path, err)
	}
	return kept, nil
}

// SetAside takes the damaged file of a stopped node out of use and keeps it. The next start of
// the node begins a new file. SetAside returns the path of the kept file. The caller holds the
// folder's lock.
func SetAside(dir string) (kept string, err error) {
	f := Folder{Dir: dir}
	path, err := f.follow(FileName)
	if err != nil || path == "" {
		return "", err
	}
	if kept, err = f.SetAside(path, time.Now()); err != nil {
		return "", err
	}
	// Remove the link first: the next start removes a file that no link names.
	if err := errors.Join(os.Remove(f.path(FileName)), f.Tidy(), f.Sync()); err != nil {
		return "", fmt.Errorf("set the damaged file %s aside: %w", path, err)
	}
	return kept, nil
}

// Candidate returns the path of the next generation, and writes the file that it starts from.
func (f Folder) Candidate(ctx context.Context, back bool, from func(ctx context.Context, path string) error) (path string, err error) {
	if back {
		if path, err = f.previous(); err == nil && path == "" {
			err = ErrNothingKept
		}
		return path, err
	}
	if path, err = f.next(); err != nil || from == nil {
		return path, err
	}
	return path, from(ctx, path)
}

// Sync syncs the names in the folder to the disk.
func (f Folder) Sync() error { return atomicfile.SyncDir(f.Dir) }

// Serving returns the path of the generation that serves, without changing anything. It returns
// an error that wraps fs.ErrNotExist if there is none.
func (f Folder) Serving() (string, error) {
	path, err := filepath.EvalSymlinks(f.path(FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no read model found in %s: %w", f.Dir, err)
	}
	return path, err
}
