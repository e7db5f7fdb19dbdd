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

// Exists tells whether a node's folder has a projection. The caller holds its lock.
func Exists(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, FileName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Install makes an ordinary file the projection of a stopped node, in place of the one
// that it has, if any: it is renamed, and taken into use by the next [projections.Open]. The file
// must lie in the same folder or at least on the same file system. The caller holds the
// folder's lock.
func Install(dir, path string) error {
	// The generations are left to Open, which takes the ordinary file for the newest one
	// and removes what no link names.
	return atomicfile.Replace(path, filepath.Join(dir, FileName))
}

// Restore is [Install] for a folder that may have a projection. It returns a [LossError]
// if the projection has entities that the file lacks, unless forced; one that has is then
// kept. kept is the path of the projection that was replaced and kept, or empty.
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
	// FileName is the name of a projection's file in its node's data folder. It is a
	// symbolic link to the generation that serves, and is replaced by a rename. An
	// ordinary file that is put in its place is taken for the newest generation when the
	// projection is opened.
	FileName = "projection.db"
	// PreviousName is the link to the generation that served before, if that was kept.
	PreviousName = "projection.previous.db"

	// damagedPrefix begins the names of damaged files that were replaced and kept, so that
	// it can be found out what happened to them. Nothing opens them.
	damagedPrefix = "projection.damaged-"

	// linking is the name of a link that is about to take the place of another.
	linking = "projection.link"
)

// ErrNothingKept means that no earlier generation was kept, so a rebuild can't go back to one.
var ErrNothingKept = errors.New("no earlier file was kept")

// A Folder is where a node has its projection's files: generations, numbered, and links
// that say which of them count. Those that no link names are what a rebuild that did
// not end has left. The holder of the folder's lock alone changes it.
type Folder struct{ Dir string }

func (f Folder) path(name string) string { return filepath.Join(f.Dir, name) }

func FileNameOf(number int) string { return fmt.Sprintf("projection.%d.db", number) }

// generationNumber is 0 for a name that is not a generation's.
func generationNumber(name string) int {
	digits := strings.TrimSuffix(strings.TrimPrefix(name, "projection."), ".db")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || FileNameOf(n) != name {
		return 0
	}
	return n
}

// Open gives the path of the generation that serves, an empty one in a new folder, and
// removes what a crash has left.
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
		// Or a power cut could leave a generation that no link names, which is removed.
		if err := errors.Join(f.point(FileName, path), f.Sync()); err != nil {
			return "", err
		}
	}
	return path, f.Tidy()
}

// follow gives the path that a link names, or an empty one if there is no link.
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

// point makes a link name a generation, in one step. It need not reach the disk: see
// sync.
func (f Folder) point(link, path string) error {
	made := f.path(linking)
	// Relative, so that the folder can be moved and copied.
	err := errors.Join(sqlite.IgnoreMissing(os.Remove(made)), os.Symlink(filepath.Base(path), made))
	if err == nil {
		err = os.Rename(made, f.path(link))
	}
	if err != nil {
		return fmt.Errorf("point %s to %s: %w", link, filepath.Base(path), err)
	}
	return nil
}

// adopt makes a generation of an ordinary file of the projection's name. Until the last
// step the file is where it was, whatever happens.
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
	// With what it has not taken in from its log. SQLite makes the -shm anew.
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

// next is the path of a generation to make.
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
		// A file of SQLite's own may be left alone.
		name := e.Name()
		for _, suffix := range sqlite.Sidecars {
			name = strings.TrimSuffix(name, suffix)
		}
		if n := generationNumber(name); n > 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// Tidy removes the generations that no link names, and links that name nothing.
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
	for _, suffix := range sqlite.Sidecars { // beside a link they belong to nothing
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

// previous is the path of the generation that was kept, or empty.
func (f Folder) previous() (path string, err error) {
	if path, err = f.follow(PreviousName); err != nil || path == "" {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", sqlite.IgnoreMissing(err)
	}
	return path, nil
}

// Replace has the links name another generation instead of the one that serves.
func (f Folder) Replace(serving, path string, keep bool) error {
	if keep {
		// First, since a generation that no link names is lost in a crash.
		if err := f.point(PreviousName, serving); err != nil {
			return err
		}
	}
	return f.point(FileName, path)
}

// SetAside keeps a damaged file under another name, which stays when the file is removed,
// and gives that name; it is empty if there is no file. Those that were kept before it are
// removed: they take as much room each.
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

// SetAside takes the damaged file of a stopped node out of use and keeps it: the next [projections.Open]
// begins a new one. It gives the path of the file that is kept. The caller holds the
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
	// The link first: a file that no link names is removed by the next start.
	if err := errors.Join(os.Remove(f.path(FileName)), f.Tidy(), f.Sync()); err != nil {
		return "", fmt.Errorf("set the damaged file %s aside: %w", path, err)
	}
	return kept, nil
}

// Candidate gives the path of the generation that is to be the next, with what it
// starts from.
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

// Sync has the names in the folder reach the disk.
func (f Folder) Sync() error { return atomicfile.SyncDir(f.Dir) }

// Serving gives the path of the generation that serves, without making or changing
// anything. It returns an error that wraps fs.ErrNotExist if there is none.
func (f Folder) Serving() (string, error) {
	path, err := filepath.EvalSymlinks(f.path(FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no read model found in %s: %w", f.Dir, err)
	}
	return path, err
}
