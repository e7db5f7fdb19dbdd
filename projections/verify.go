package projections

import (
	"context"
	"errors"
	"slices"
)

// unlikeDigests recomputes the digests of all rows in a file. It returns the collections
// whose rows do not match the digests stored with them, sorted by name. progress is as in
// [Snapshot.Audit].
func unlikeDigests(ctx context.Context, path string, progress func(done, all int64) error) (collections []string, err error) {
	s, err := SnapshotFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	audit, err := s.Audit(ctx, progress)
	if err != nil {
		return nil, err
	}
	for name, a := range audit.Collections {
		if a.Differs() {
			collections = append(collections, name)
		}
	}
	slices.Sort(collections)
	return collections, nil
}
