package offline

import (
	"context"
	"errors"
	"log/slog"
	"net/url"

	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// Convert converts a read model's file of an earlier version of ClusterLite to the tables of
// this version. It leaves a file of any other version unchanged, and returns a
// [NotAProjectionError] if the file is not a database. No process may have the file open. The
// file is replaced in one step, after the digests of the new rows were found to match those
// stored in the old file. Until then, and after an error, it is unchanged. There must be room
// for both files.
func Convert(ctx context.Context, path string) error {
	version, err := versionOf(ctx, path)
	if err != nil || version != schema.ConvertedVersion {
		return err
	}
	return generation.Convert(ctx, path, slog.New(slog.DiscardHandler))
}

func versionOf(ctx context.Context, path string) (version int, err error) {
	db, err := sqlite.Connect(ctx, path, 1, url.Values{"mode": {"rw"}})
	if err != nil {
		return 0, &NotAProjectionError{path, err}
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.GetContext(ctx, &version, `PRAGMA user_version`); err != nil {
		return 0, &NotAProjectionError{path, err}
	}
	return version, nil
}
