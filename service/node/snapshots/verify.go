package snapshots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// Verify restores a snapshot into a temporary file and checks all of it: the file's size and
// checksum, its digests against the manifest, and each row against the digests. It needs space
// for the file in the folder for temporary files (TMPDIR). A snapshot that can't be restored
// gives a [CorruptError]; a snapshot of another format gives a [FormatError]. Any other error
// means that the snapshot could not be read, and says nothing about it. progress, if not nil, is
// called with the number of bytes restored so far.
func (s *Store) Verify(ctx context.Context, name string, progress func(done int64)) (m Manifest, built offline.Built, err error) {
	dir, err := os.MkdirTemp("", "clusterlite-verify-*")
	if err != nil {
		return m, built, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	body, err := s.Open(ctx, name)
	if err != nil {
		return m, built, err
	}
	defer func() { _ = body.Close() }() // it was only read
	reader, err := Read(body)
	if err != nil {
		return m, built, fmt.Errorf("%s: %w", name, err)
	}
	path := filepath.Join(dir, "snapshot.db")
	if built, err = reader.Save(ctx, path, progress); err != nil {
		return reader.Manifest, built, fmt.Errorf("%s: %w", name, err)
	}
	differ, err := reads.UnlikeDigests(ctx, path, nil)
	if err == nil && len(differ) > 0 {
		err = corrupt("the rows of %s do not match their digests", strings.Join(differ, ", "))
	}
	if err != nil {
		return reader.Manifest, built, fmt.Errorf("%s: %w", name, err)
	}
	return reader.Manifest, built, nil
}
