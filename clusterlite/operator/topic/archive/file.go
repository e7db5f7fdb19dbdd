package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/clusterlite/clusterlite/events/atomicfile"
)

// compressed returns a writer that compresses as the extension of the name requires.
func compressed(name string, w io.Writer) (io.WriteCloser, error) {
	switch filepath.Ext(name) {
	case ".gz":
		return gzip.NewWriter(w), nil
	case ".zst":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return plain{w}, nil
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }

// A File is an archive that is being written. It receives its name once it is complete.
type File struct {
	io.Writer
	name       string
	temporary  *os.File
	compressor io.WriteCloser
}

// Create creates a file, which is compressed if its name ends in .gz or .zst. It returns an
// error that wraps fs.ErrExist if a file of that name exists. Call Commit or Discard.
func Create(name string) (*File, error) {
	if err := vacant(name); err != nil {
		return nil, err
	}
	temporary, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".partial-*")
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	f := &File{name: name, temporary: temporary}
	if f.compressor, err = compressed(name, temporary); err != nil {
		return nil, errors.Join(fmt.Errorf("create %s: %w", name, err), f.Discard())
	}
	f.Writer = f.compressor
	return f, nil
}

func vacant(name string) error {
	if _, err := os.Lstat(name); err == nil {
		return &fs.PathError{Op: "make", Path: name, Err: fs.ErrExist}
	}
	return nil
}

// Commit syncs the file to the disk and gives it its name.
func (f *File) Commit() error {
	err := errors.Join(f.compressor.Close(), f.temporary.Close(), vacant(f.name))
	if err == nil {
		err = atomicfile.Replace(f.temporary.Name(), f.name)
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", f.name, errors.Join(err, os.Remove(f.temporary.Name())))
	}
	return nil
}

// Discard removes the temporary file.
func (f *File) Discard() error {
	return errors.Join(f.temporary.Close(), os.Remove(f.temporary.Name()))
}

// A source is an archive that is being read from the beginning.
type source struct {
	*Reader
	// Size is the size of the file, for progress; Read is the number of bytes read so far.
	Size, Read int64

	closers []func() error
}

// open opens an archive, which is compressed if its name ends in .gz or .zst.
func open(name string) (*source, error) {
	file, err := os.Open(name) //nolint:gosec // the operator chooses the file
	if err != nil {
		return nil, err
	}
	s := &source{closers: []func() error{file.Close}}
	if err := s.start(name, file); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *source) start(name string, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	s.Size = info.Size()
	in, err := s.decompressed(name, counted{file, &s.Read})
	if err != nil {
		return &DamagedError{Line: 1, Reason: err.Error()}
	}
	s.Reader, err = NewReader(in)
	return err
}

func (s *source) decompressed(name string, r io.Reader) (io.Reader, error) {
	switch filepath.Ext(name) {
	case ".gz":
		return gzip.NewReader(r)
	case ".zst":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err == nil {
			s.closers = append(s.closers, func() error { d.Close(); return nil })
		}
		return d, err
	}
	return r, nil
}

// Close closes the file.
func (s *source) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	return errors.Join(errs...)
}

type counted struct {
	io.Reader
	n *int64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	*c.n += int64(n)
	return n, err
}
