package projections

import (
	"context"
	"fmt"
	"slices"
)

// Holders gives the living entities that hold claims in a collection, by claim. A claim
// that no entity holds is missing. It is one read, however many claims there are, and much
// cheaper than [Projection.Holder] for each. Errors as for [Projection.Entity].
func (p *Projection) Holders(ctx context.Context, collection string, claims []string) (map[string]string, error) {
	holders := map[string]string{}
	if len(claims) == 0 {
		return holders, nil
	}
	err := p.read(ctx, func(r *reader) error {
		return eachHolder(context.Background(), r, collection, claims, func(claim, id string) { holders[claim] = id })
	})
	if err != nil {
		return nil, fmt.Errorf("read the holders of claims in %s: %w", collection, err)
	}
	return holders, nil
}

// UsedKeys gives those of some idempotency keys that [Projection.KeyUse] finds a use of.
// It is one read, however many keys there are. Errors as for [Projection.Entity].
func (p *Projection) UsedKeys(ctx context.Context, keys []string) (map[string]bool, error) {
	used := map[string]bool{}
	if len(keys) == 0 {
		return used, nil
	}
	err := p.read(ctx, func(r *reader) error {
		rows, err := r.QueryContext(context.Background(), `SELECT key FROM _keys WHERE key IN (SELECT value FROM json_each(?))`, jsonSet(slices.Clone(keys)))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var key string
			if err := rows.Scan(&key); err != nil {
				return err
			}
			used[key] = true
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read which idempotency keys are used: %w", err)
	}
	return used, nil
}
