package projections

import (
	"context"
	"errors"
	"fmt"
)

// Holders gives the living entities that hold claims in a collection, by claim. A claim
// that no entity holds is missing. It is one read, however many claims there are, and much
// cheaper than [Projection.Holder] for each. Errors as for [Projection.Entity].
func (p *Projection) Holders(ctx context.Context, collection string, claims []string) (map[string]string, error) {
	holders := map[string]string{}
	if len(claims) == 0 {
		return holders, nil
	}
	g := p.hold()
	defer g.release()
	var asked []string
	for _, claim := range claims {
		if !p.knownFree(g, collection, packClaim(claim)) {
			asked = append(asked, claim)
		}
	}
	if len(asked) == 0 {
		return holders, nil
	}
	err := p.readFrom(ctx, g, func(r *reader) (err error) {
		holders, err = readHolders(r, collection, asked)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the holders of claims in %s: %w", collection, err)
	}
	return holders, nil
}

// knownFree reports whether no entity holds a claim, as far as the filter of claims knows. It
// has the filter filled if that is due.
func (p *Projection) knownFree(g *generation, collection string, claim []byte) bool {
	if g.writer.claims.wanted() {
		p.fillFilter(g)
	}
	return g.writer.claims.free(collection, claim)
}

// errLeft ends the scan of a file that no longer serves.
var errLeft = errors.New("the file no longer serves")

// fillFilter fills the filter of a generation's claims, in the background, from its file. It
// ends early if the generation stops serving.
func (p *Projection) fillFilter(g *generation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed() {
		return
	}
	var living int64
	for _, s := range p.digests {
		living += s.Living
	}
	p.rebuilds.Go(func() {
		err := g.writer.claims.fill(living, func(add func(collection string, claim []byte)) error {
			for at, more := (claimKey{}), true; more; {
				// It holds the generation for a part of the file at a time.
				if p.closed() || p.serving.Load() != g || !g.hold() {
					return errLeft
				}
				var err error
				more, err = p.scanClaims(g, &at, add)
				g.release()
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errLeft) {
			p.options.Logger.Debug("could not fill the filter of claims; retrying", "error", err)
		}
	})
}

// scanClaims adds the claims after a key, at most 10,000 of them, and moves the key on. more is
// false at the end of the table.
func (p *Projection) scanClaims(g *generation, at *claimKey, add func(collection string, claim []byte)) (more bool, err error) {
	r, err := g.db.lists.acquire(context.Background())
	if err != nil {
		return false, p.observe(g, err)
	}
	defer r.release()
	if more, err = readClaims(r, at, add); err != nil {
		return false, p.observeRow(g, err)
	}
	return more, nil
}

// UsedKeys gives those of some idempotency keys that [Projection.KeyUse] finds a use of.
// It is one read, however many keys there are. Errors as for [Projection.Entity].
func (p *Projection) UsedKeys(ctx context.Context, keys []string) (map[string]bool, error) {
	var used map[string]bool
	if len(keys) == 0 {
		return map[string]bool{}, nil
	}
	err := p.read(ctx, func(r *reader) (err error) {
		used, err = readUsedKeys(r, keys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which idempotency keys are used: %w", err)
	}
	return used, nil
}
