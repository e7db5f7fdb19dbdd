package snapshots

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/clusterlite/clusterlite/projections/offline"
)

// A Stopped is a snapshot of a stopped node, created from its data folder. The caller must
// close it.
type Stopped struct {
	Manifest

	dir, path string
}

// FromFolder creates a snapshot of the read model in the folder of a stopped node. It needs
// no broker and changes nothing in the folder, whose lock the caller holds. It needs as
// much space in the folder for temporary files (TMPDIR) as the read model's file. It checks
// all rows first; errors are those of [offline.Copy]. progress, if not nil, is
// called at intervals with the number of rows checked.
func FromFolder(ctx context.Context, dir, node string, progress func(done, all int64) error) (_ *Stopped, err error) {
	temporary, err := os.MkdirTemp("", "clusterlite-snapshot-*")
	if err != nil {
		return nil, err
	}
	s := &Stopped{dir: temporary, path: filepath.Join(temporary, "snapshot.db")}
	built, err := offline.Copy(ctx, dir, s.path, progress)
	if err == nil {
		s.Manifest, err = describeFile(ctx, s.path, node, built)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Open returns the snapshot as it is stored. The caller closes it.
func (s *Stopped) Open(ctx context.Context) (io.ReadCloser, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		err := s.write(w, contextReader{ctx, f})
		w.CloseWithError(errors.Join(err, f.Close()))
	}()
	return r, nil
}

// Close removes the temporary files of the snapshot.
func (s *Stopped) Close() error { return os.RemoveAll(s.dir) }
