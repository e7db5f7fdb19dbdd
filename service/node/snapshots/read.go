package snapshots

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/clusterlite/clusterlite/projections/offline"
)

// A Reader reads a snapshot. Use it from one goroutine.
type Reader struct {
	Manifest

	source     *source
	compressed *bufio.Reader
}

// Read reads the manifest of a snapshot. It returns a [CorruptError] if the stream has
// none.
func Read(r io.Reader) (*Reader, error) {
	from := &source{Reader: r}
	b := bufio.NewReaderSize(from, 256<<10)
	m, err := readManifest(b)
	if err != nil {
		return nil, err
	}
	return &Reader{m, from, b}, nil
}

// Copy writes the file in the snapshot. At the end it returns a [CorruptError] if the file
// does not match the manifest.
func (r *Reader) Copy(w io.Writer) error {
	z, err := zstd.NewReader(r.compressed)
	if err != nil {
		return err
	}
	defer z.Close()
	sum := sha256.New()
	out := &target{Writer: w}
	n, err := io.Copy(io.MultiWriter(out, sum), io.LimitReader(z, r.Size+1))
	switch {
	case out.err != nil:
		return out.err
	case r.source.err != nil:
		return fmt.Errorf("read the snapshot: %w", r.source.err)
	case err != nil:
		return corrupt("it can't be decompressed: %v", err)
	case n != r.Size:
		return corrupt("its file does not have the %d bytes that its manifest says", r.Size)
	case hex.EncodeToString(sum.Sum(nil)) != r.SHA256:
		return corrupt("its file does not have the SHA-256 checksum that its manifest says")
	}
	return nil
}

// source remembers errors of reading. All other errors are due to the content.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // an error that wraps io.EOF means a closed connection
		s.err = err
	}
	return n, err
}

// target remembers errors of writing.
type target struct {
	io.Writer
	err error
}

func (t *target) Write(p []byte) (n int, err error) {
	n, t.err = t.Writer.Write(p)
	return n, t.err
}

// Save writes the file in the snapshot to path, and checks that it is the read model
// described by the manifest. After an error no file is left. progress, if not nil, is
// called with the number of bytes written.
func (r *Reader) Save(ctx context.Context, path string, progress func(done int64)) (built offline.Built, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644) //nolint:gosec // as SQLite makes its files
	if err != nil {
		return built, fmt.Errorf("save a snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	w := &countingWriter{ctx: ctx, w: f, progress: progress}
	if err := errors.Join(r.Copy(w), f.Sync(), f.Close()); err != nil {
		return built, err
	}
	// A file that an earlier version of ClusterLite made has the same rows in other tables.
	err = offline.Convert(ctx, path)
	if err == nil {
		built, err = offline.Inspect(ctx, path)
	}
	if err != nil {
		var not *offline.NotAProjectionError
		if errors.As(err, &not) {
			return built, corrupt("%v", err)
		}
		return built, err
	}
	return built, r.holds(built)
}

type countingWriter struct {
	ctx      context.Context
	w        io.Writer
	done     int64
	progress func(int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	if c.done += int64(n); c.progress != nil {
		c.progress(c.done)
	}
	return n, err
}
