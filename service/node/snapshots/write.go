package snapshots

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/offline"
)

// temporary is the name pattern of temporary files in a node's folder. [Clean] removes
// those that a crash left behind.
const temporary = "snapshot-*.tmp"

// Temporary creates an empty temporary file in a node's folder.
func Temporary(dir string) (path string, err error) {
	f, err := os.CreateTemp(dir, temporary)
	if err != nil {
		return "", fmt.Errorf("create a temporary file for a snapshot: %w", err)
	}
	return f.Name(), f.Close()
}

// Clean removes the files of interrupted snapshots from a node's folder. The caller holds
// its lock.
func Clean(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, temporary+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, os.Remove(name))
	}
	return errors.Join(errs...)
}

// Write writes a snapshot of a projection, which continues meanwhile. node is the name of
// the node that creates it. While it runs, Write needs as much space in dir as the
// projection's file. It returns [projections.ErrBusy], before it writes anything, if too
// many copies are in progress.
func Write(ctx context.Context, w io.Writer, model *projections.Projection, dir, node string) (m Manifest, err error) {
	path, err := Temporary(dir)
	if err != nil {
		return m, err
	}
	defer func() { _ = os.Remove(path) }() // Clean does it if this fails
	copied, err := model.Copy(ctx, path)
	if err != nil {
		return m, err
	}
	if m, err = describeFile(ctx, path, node, copied); err != nil {
		return m, err
	}
	f, err := os.Open(path) //nolint:gosec // made above
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return m, m.write(w, contextReader{ctx, f})
}

// describeFile returns the manifest of a read model in an ordinary file.
func describeFile(ctx context.Context, path, node string, holds offline.Built) (m Manifest, err error) {
	m = Manifest{Format: format, Node: node, CreatedAt: time.Now().UTC().Truncate(time.Millisecond)}
	m.describe(holds)
	f, err := os.Open(path) //nolint:gosec // the caller made it
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }() // it was only read
	sum := sha256.New()
	if m.Size, err = io.Copy(sum, contextReader{ctx, f}); err != nil {
		return m, err
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return m, nil
}

func (m Manifest) write(w io.Writer, file io.Reader) error {
	if err := m.writeTo(w); err != nil {
		return err
	}
	// Prefer speed to size, because a joining node waits for the snapshot.
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	_, err = io.Copy(z, file)
	return errors.Join(err, z.Close())
}

// contextReader ends with ctx.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
