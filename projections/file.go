package projections

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// SnapshotFile opens a snapshot of a projection's file by its path, whether or not a node
// has it open. It returns a [RefusedError] for a file of another version, and makes none
// that is not there.
func SnapshotFile(ctx context.Context, path string) (*Snapshot, error) {
	// Not read-only to SQLite: whoever reads a file in WAL mode has to write its index.
	db, err := connect(ctx, path, 1, url.Values{"mode": {"rw"}, "_query_only": {"true"}})
	if err != nil {
		return nil, err
	}
	var version int
	err = db.GetContext(ctx, &version, `PRAGMA user_version`)
	if err == nil && version != schemaVersion {
		err = otherSchema(path, version)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	all := newReaders(db, 1)
	r, err := all.acquire(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	s, err := begin(r, func() { _ = all.close() }, nil)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}
