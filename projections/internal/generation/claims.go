package generation

import (
	"context"

	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/storagefault"
)

// ReadClaims calls add for up to 10,000 claims after a key in the table of claims, and moves the key to
// the last of them. more is false at the end of the table.
func (g *Generation) ReadClaims(at *reads.ClaimKey, add func(collection string, claim []byte)) (more bool, err error) {
	r, err := g.DB.Lists.Acquire(context.Background())
	if err != nil {
		return false, err
	}
	defer r.Release()
	more, err = reads.ReadClaims(r, at, add)
	return more, storagefault.UnreadableRow(g.DB.Path, err)
}
