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

// Convert brings a read model's file that an earlier version of ClusterLite made to the
// tables of this version. It leaves one of any other version as it is. It returns an
// [NotAProjectionError] for a file that is no database. Nothing has the file
// open. The file is replaced in one step, once the digests of the rows in the new one were
// found to be those that the old one has kept: until then, and if there is an error, it is as
// it was. It needs room for both.
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
