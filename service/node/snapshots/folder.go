package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/clusterlite/clusterlite/events/atomicfile"
)

// folderScheme is the scheme of a folder's URL. A plain path is a folder too.
const folderScheme = "file"

// A folder is a [Bucket] whose objects are files. A page of a listing is the whole listing.
type folder struct{ path string }

// folderOf returns the path of a store that is a folder, and the prefix of the names in it,
// which may contain subfolders. For a bucket, path is empty.
func folderOf(place string) (path, prefix string, err error) {
	if !strings.Contains(place, "://") {
		if place == "" {
			return "", "", errors.New("its name is empty")
		}
		path, err = filepath.Abs(place)
		return path, "", err
	}
	u, err := url.Parse(place)
	if err != nil || u.Scheme != folderScheme {
		return "", "", err
	}
	if u.Path == "" || u.Host != "" && u.Host != "localhost" {
		return "", "", errors.New("the URL of a folder needs an absolute path, such as file:///backups")
	}
	for name, values := range u.Query() {
		switch name {
		case "prefix":
			prefix = values[0]
		case "metadata", "create_dir", "no_tmp_dir": // No effect: see the decision note on lean stores.
		default:
			return "", "", fmt.Errorf("unknown parameter %q; allowed: prefix", name)
		}
	}
	if prefix != "" && !filepath.IsLocal(filepath.FromSlash(strings.TrimSuffix(prefix, "/"))) {
		return "", "", fmt.Errorf("the prefix %q leads out of the folder", prefix)
	}
	return filepath.FromSlash(u.Path), prefix, nil
}

// openFolder opens an existing folder.
func openFolder(place, path, prefix string) (Bucket, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no snapshot store at %s: %w", place, ErrNoStore)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("it is a file, not a folder")
	}
	if prefix == "" {
		return folder{path}, nil
	}
	return &prefixed{folder{path}, prefix}, nil
}

func (f folder) file(name string) string { return filepath.Join(f.path, filepath.FromSlash(name)) }

func (f folder) List(_ context.Context, prefix, _ string) (objects []Object, _ string, err error) {
	within, _ := filepath.Split(filepath.FromSlash(prefix))
	files, err := os.ReadDir(filepath.Join(f.path, within))
	if err != nil {
		if within != "" && errors.Is(err, fs.ErrNotExist) {
			return nil, "", nil // a subfolder exists once an object is in it
		}
		return nil, "", err
	}
	for _, file := range files {
		name := filepath.ToSlash(within) + file.Name()
		if !strings.HasPrefix(name, prefix) || file.IsDir() {
			continue
		}
		info, err := file.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the folder was read
		}
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, Object{Name: name, Size: info.Size(), ModTime: info.ModTime()})
	}
	return objects, "", nil
}

func (f folder) Exists(_ context.Context, name string) (bool, error) {
	_, err := os.Stat(f.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(f.file(name))
}

func (f folder) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	path := f.file(name)
	if dir := filepath.Dir(path); dir != f.path {
		if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // as the operator's umask has it
			return nil, err
		}
		if err := atomicfile.SyncDir(f.path); err != nil {
			return nil, err
		}
	}
	partial, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*")
	if err != nil {
		return nil, err
	}
	return &partialFile{partial, ctx, path}, nil
}

func (f folder) Remove(_ context.Context, name string) error { return os.Remove(f.file(name)) }

func (folder) Close() error { return nil }

// A partialFile is a file that is being written into a folder under a temporary name.
type partialFile struct {
	*os.File
	ctx  context.Context
	path string
}

// Close syncs the file and gives it its name. If the context has ended, it removes the file.
func (p *partialFile) Close() error {
	err := errors.Join(p.Chmod(0o644), p.File.Close(), p.ctx.Err())
	if err == nil {
		err = atomicfile.Replace(p.Name(), p.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(p.Name()))
	}
	return nil
}
