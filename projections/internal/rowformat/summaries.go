package rowformat

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/projections/digest"
)

// LoadSummaries reads the summaries of all collections.
func LoadSummaries(ctx context.Context, q sqlx.QueryerContext) (map[string]digest.Summary, error) {
	var rows []struct {
		Collection string `db:"collection"`
		Living     int64  `db:"living"`
		Digest     []byte `db:"digest"`
	}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT collection, living, digest FROM _digests`); err != nil {
		return nil, err
	}
	all := make(map[string]digest.Summary, len(rows))
	for _, r := range rows {
		all[r.Collection] = digest.Summary{Living: r.Living, Digest: digest.FromBytes(r.Digest)}
	}
	return all, nil
}
