package generation

import (
	"context"

	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// ReadClaims reads the next part of a scan of the table of claims: see [reads.ClaimScan.Next].
func (g *Generation) ReadClaims(s *reads.ClaimScan, add func(collection string, claim []byte)) (more bool, err error) {
	r, err := g.DB.Entities.Acquire(context.Background())
	if err != nil {
		return false, err
	}
	defer g.DB.Entities.Release(r)
	more, err = s.Next(r, add)
	return more, storagefault.UnreadableRow(g.DB.Path, err)
}
