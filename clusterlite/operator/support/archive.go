package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// An archive is a tar.gz file that is being written under a temporary name.
type archive struct {
	file *os.File
	zip  *gzip.Writer
	tar  *tar.Writer
	now  time.Time
}

// create starts an archive beside its final name, which must not exist. Only the user who runs the
// command may read it.
func create(name string, now time.Time) (*archive, error) {
	if _, err := os.Lstat(name); err == nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".partial-*")
	if err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	zip := gzip.NewWriter(f)
	return &archive{f, zip, tar.NewWriter(zip), now}, nil
}

// root is the folder in the archive that holds everything.
const root = "clusterlite-support"

func (a *archive) add(name string, content []byte) error {
	err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(root, filepath.ToSlash(name)), Mode: 0o600, Size: int64(len(content)), ModTime: a.now})
	if err == nil {
		_, err = a.tar.Write(content)
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

func (a *archive) addJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return a.add(name, append(b, '\n'))
}

func (a *archive) addText(name string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return a.add(name, b.Bytes())
}

// commit completes the archive and gives it its name.
func (a *archive) commit(name string) error {
	err := errors.Join(a.tar.Close(), a.zip.Close(), a.file.Sync(), a.file.Close())
	if err == nil {
		err = os.Link(a.file.Name(), name) // unlike a rename, it replaces nothing
	}
	if err := errors.Join(err, os.Remove(a.file.Name())); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}

// abandon removes what was written.
func (a *archive) abandon() error {
	return errors.Join(a.file.Close(), os.Remove(a.file.Name()))
}
