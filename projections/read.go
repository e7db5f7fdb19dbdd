package projections

import (
	"context"
	"fmt"

	"github.com/clusterlite/clusterlite/events"
)

// ErrOverloaded is returned by a read that found no free connection in time. The read did
// nothing, and can be tried again.
var ErrOverloaded = errNoConnection

// read runs a read of single rows on one connection. ctx bounds the wait for the
// connection. The statements themselves take microseconds, so do runs them without a
// context that can end: such a context costs the driver a callback for each statement.
func (p *Projection) read(ctx context.Context, do func(*reader) error) error {
	g := p.hold()
	defer g.release()
	return p.readFrom(ctx, g, do)
}

// readFrom is read from a generation that the caller holds.
func (p *Projection) readFrom(ctx context.Context, g *generation, do func(*reader) error) error {
	r, err := g.db.points.acquire(ctx)
	if err != nil {
		return p.observe(g, err)
	}
	defer r.release()
	if err := do(r); err != nil {
		return p.observeRow(g, err)
	}
	return nil
}

// Entity reads one entity of a declared collection, and the position that the answer
// holds for; both come from one snapshot. found is false for an entity that never existed;
// for a deleted one, Entity.Deleted is true. It returns [ErrOverloaded] if no connection
// became free in time, and ctx.Err() if ctx ended before that.
func (p *Projection) Entity(ctx context.Context, collection, id string) (e Entity, found bool, at events.Position, err error) {
	g := p.hold()
	defer g.release()
	key := events.EntityKey{Collection: collection, ID: id}
	cached, at, ticket := g.cache.get(cacheKey{EntityKey: key})
	if cached != nil {
		p.cached.hits.Add(1)
		return cached.entity, true, at, nil
	}
	p.cached.misses.Add(1)
	err = p.readFrom(ctx, g, func(r *reader) (err error) {
		e, found, at, err = readEntity(r, key)
		return err
	})
	if err != nil {
		return Entity{}, false, 0, fmt.Errorf("read %s/%s: %w", collection, id, err)
	}
	if found && !e.Deleted {
		g.cache.put(ticket, at, cacheKey{EntityKey: key}, e, nil, 0)
	}
	return e, found, at, nil
}

// Holder gives the living entity that holds a claim, or an empty string. It returns
// [ErrOverloaded] if no connection became free in time, and ctx.Err() if ctx ended before
// that.
func (p *Projection) Holder(ctx context.Context, collection, claim string) (id string, err error) {
	g := p.hold()
	defer g.release()
	packed := packClaim(claim)
	if p.knownFree(g, collection, packed) {
		return "", nil
	}
	err = p.readFrom(ctx, g, func(r *reader) (err error) {
		id, err = readHolder(r, collection, packed)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the holder of a claim in %s: %w", collection, err)
	}
	return id, nil
}

// KeyUse finds the use of an idempotency key within the window. It returns
// [ErrOverloaded] if no connection became free in time, and ctx.Err() if ctx ended before
// that.
func (p *Projection) KeyUse(ctx context.Context, key string) (use KeyUse, used bool, err error) {
	err = p.read(ctx, func(r *reader) (err error) {
		use, used, err = readKeyUse(r, key)
		return err
	})
	if err != nil {
		return KeyUse{}, false, fmt.Errorf("read an idempotency key: %w", err)
	}
	return use, used, nil
}

// Voids lists the newest void records, newest first, at most limit.
func (p *Projection) Voids(ctx context.Context, limit int) ([]VoidRecord, error) {
	var voids []VoidRecord
	err := p.read(ctx, func(r *reader) (err error) {
		voids, err = readVoids(ctx, r, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list void records: %w", err)
	}
	return voids, nil
}

// VoidCounts tells how many void records there were in all, by reason.
func (p *Projection) VoidCounts(ctx context.Context) (map[events.Reason]int64, error) {
	var counts map[events.Reason]int64
	err := p.read(ctx, func(r *reader) (err error) {
		counts, err = readVoidCounts(ctx, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count void records: %w", err)
	}
	return counts, nil
}
