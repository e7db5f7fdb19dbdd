package projections

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/generation"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite/direct"
	"github.com/clusterlite/clusterlite/projections/reads"
)

// ErrOverloaded is returned by a read for which no connection became free in time. The read did
// nothing, and can be retried.
var ErrOverloaded = sqlite.ErrNoConnection

// read runs a read of single rows on one connection. ctx bounds the wait for the connection.
// The statements themselves take microseconds, so do runs them without a context that can end:
// the driver would start a callback for each statement.
func (p *Projection) read(ctx context.Context, do func(*sqlite.Conn) error) error {
	g := p.hold()
	defer g.Release()
	return readOn(ctx, p, g, g.DB.Points.Limited, do)
}

// readOn runs a read of a few rows on a connection of a pool of a generation that the caller holds.
func readOn[C io.Closer](ctx context.Context, p *Projection, g *generation.Generation, pool *sqlite.Limited[C], do func(C) error) error {
	r, err := pool.Acquire(ctx)
	if err != nil {
		return p.observe(g, err)
	}
	defer pool.Release(r)
	return p.observeRow(g, do(r))
}

// Entity reads one entity of a declared collection, and the position that the answer holds for.
// found is false if the entity never existed. If it was deleted, Entity.Deleted is true. Entity
// returns [ErrOverloaded] if no connection became free in time, and ctx.Err() if ctx ended
// before that.
func (p *Projection) Entity(ctx context.Context, collection, id string) (e reads.Entity, found bool, at events.Position, err error) {
	g := p.hold()
	defer g.Release()
	key := events.EntityKey{Collection: collection, ID: id}
	cached, at, ticket := g.Cache.Get(entitycache.Key{EntityKey: key})
	if cached != nil {
		p.cached.Hits.Add(1)
		e = cached.Entity
		e.Cached = true
		return e, true, at, nil
	}
	p.cached.Misses.Add(1)
	if e, found, at, err = p.findEntity(ctx, g, key); err != nil {
		return reads.Entity{}, false, 0, err
	}
	if found && !e.Deleted {
		g.Cache.Put(ticket, at, entitycache.Key{EntityKey: key}, e, nil, 0)
	}
	return e, found, at, nil
}

// findEntity reads an entity from the file of a generation that the caller holds.
func (p *Projection) findEntity(ctx context.Context, g *generation.Generation, key events.EntityKey) (e reads.Entity, found bool, at events.Position, err error) {
	err = readOn(ctx, p, g, g.DB.Entities, func(r *direct.Conn) (err error) {
		e, found, at, err = reads.FindEntity(r, key)
		return err
	})
	if err != nil {
		return reads.Entity{}, false, 0, fmt.Errorf("read %s/%s: %w", key.Collection, key.ID, err)
	}
	return e, found, at, nil
}

// ReadAsMissing reads the file, as [Projection.Entity] does for an entity that does not exist. A service
// calls it before it hides a cached entity from a client, because a shorter time would reveal that it
// exists. Errors are those of [Projection.Entity].
func (p *Projection) ReadAsMissing(ctx context.Context, collection, id string) error {
	g := p.hold()
	defer g.Release()
	_, _, _, err := p.findEntity(ctx, g, events.EntityKey{Collection: collection, ID: id})
	return err
}

// Holder returns the living entity that holds a claim, or an empty string. Errors are those of
// [Projection.Entity].
func (p *Projection) Holder(ctx context.Context, collection, claim string) (id string, err error) {
	g := p.hold()
	defer g.Release()
	packed := rowformat.PackClaim(claim)
	if p.knownFree(g, collection, packed) {
		return "", nil
	}
	if id, known := g.Writer.Recent.Holder(collection, packed); known {
		return id, nil
	}
	err = readOn(ctx, p, g, g.DB.Points.Limited, func(r *sqlite.Conn) (err error) {
		id, err = reads.FindHolder(r, collection, packed)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the holder of a claim in %s: %w", collection, err)
	}
	return id, nil
}

// Holders returns the living entities that hold claims in a collection, by claim. Claims that
// no entity holds are missing. It is one read for any number of claims, and much cheaper than
// calling [Projection.Holder] for each. Errors are those of [Projection.Entity].
func (p *Projection) Holders(ctx context.Context, collection string, claims []string) (map[string]string, error) {
	holders := map[string]string{}
	g := p.hold()
	defer g.Release()
	var asked []string
	for _, claim := range claims {
		packed := rowformat.PackClaim(claim)
		if p.knownFree(g, collection, packed) {
			continue
		}
		id, known := g.Writer.Recent.Holder(collection, packed)
		switch {
		case !known:
			asked = append(asked, claim)
		case id != "":
			holders[claim] = id
		}
	}
	if len(asked) == 0 {
		return holders, nil
	}
	err := readOn(ctx, p, g, g.DB.Points.Limited, func(r *sqlite.Conn) error {
		return reads.FindHolders(r, collection, asked, holders)
	})
	if err != nil {
		return nil, fmt.Errorf("read the holders of claims in %s: %w", collection, err)
	}
	return holders, nil
}

// KeyUse finds the use of an idempotency key within the window. Errors are those of
// [Projection.Entity].
func (p *Projection) KeyUse(ctx context.Context, key string) (use reads.KeyUse, used bool, err error) {
	err = p.read(ctx, func(r *sqlite.Conn) (err error) {
		use, used, err = reads.FindKeyUse(r, key)
		return err
	})
	if err != nil {
		return reads.KeyUse{}, false, fmt.Errorf("read an idempotency key: %w", err)
	}
	return use, used, nil
}

// UsedKeys returns the subset of idempotency keys for which [Projection.KeyUse] finds a use. It
// is one read for any number of keys. Errors are those of [Projection.Entity].
func (p *Projection) UsedKeys(ctx context.Context, keys []string) (map[string]bool, error) {
	var used map[string]bool
	if len(keys) == 0 {
		return map[string]bool{}, nil
	}
	err := p.read(ctx, func(r *sqlite.Conn) (err error) {
		used, err = reads.FindUsedKeys(r, keys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read which idempotency keys are used: %w", err)
	}
	return used, nil
}

// Voids returns the latest void records, newest first, at most limit.
func (p *Projection) Voids(ctx context.Context, limit int) ([]reads.VoidRecord, error) {
	var voids []reads.VoidRecord
	err := p.read(ctx, func(r *sqlite.Conn) (err error) {
		voids, err = reads.Voids(ctx, r, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list void records: %w", err)
	}
	return voids, nil
}

// VoidCounts returns the total number of void records by reason.
func (p *Projection) VoidCounts(ctx context.Context) (map[events.Reason]int64, error) {
	var counts map[events.Reason]int64
	err := p.read(ctx, func(r *sqlite.Conn) (err error) {
		counts, err = reads.VoidCounts(ctx, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count void records: %w", err)
	}
	return counts, nil
}

// knownFree reports whether the filter of claims knows that no entity holds a claim. It starts
// to fill the filter if that is due.
func (p *Projection) knownFree(g *generation.Generation, collection string, claim []byte) bool {
	if g.Writer.Claims.Wanted() {
		p.fillFilter(g)
	}
	return g.Writer.Claims.Free(collection, claim)
}

// errLeft ends the scan of a file that no longer serves.
var errLeft = errors.New("the file no longer serves")

// fillFilter fills the claim filter of a generation from its file, in the background. It ends
// early if the generation stops serving.
func (p *Projection) fillFilter(g *generation.Generation) {
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
		err := g.Writer.Claims.Fill(living, func(add func(collection string, claim []byte)) error {
			// First the recent claims: one that has left them since is in the table, which is read next.
			g.Writer.Recent.Each(add)
			for scan, more := (reads.ClaimScan{}), true; more; {
				// Hold the generation for one part of the file at a time.
				if p.closed() || p.serving.Load() != g || !g.Hold() {
					return errLeft
				}
				err := readOn(context.Background(), p, g, g.DB.Entities, func(r *direct.Conn) (err error) {
					more, err = scan.Next(r, add)
					return err
				})
				g.Release()
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

// A Ticket links [Projection.CachedPage] with [Projection.KeepPage].
type Ticket = entitycache.Ticket

// CachedPage returns a page of a list that was passed to [Projection.KeepPage] with the same
// query and has not changed since, and the position that it holds for. Without one, it returns
// nil and a ticket. To keep the page that is read from the file instead, begin the read
// transaction after this call, and pass the ticket to KeepPage.
func (p *Projection) CachedPage(collection, query string) (page any, at events.Position, ticket Ticket) {
	g := p.hold()
	defer g.Release()
	found, at, number := g.Cache.Get(entitycache.PageKey(collection, query))
	if found == nil {
		p.cached.PageMisses.Add(1)
		return nil, 0, Ticket{Cache: g.Cache, Number: number}
	}
	p.cached.PageHits.Add(1)
	return found.Page, at, Ticket{}
}

// KeepPage offers a page of a list to the cache, which may keep it until the collection
// changes. bytes is the size of the page. Nothing may change the page afterwards.
func (p *Projection) KeepPage(ticket Ticket, at events.Position, collection, query string, page any, bytes int) {
	ticket.Cache.Put(ticket.Number, at, entitycache.PageKey(collection, query), reads.Entity{}, page, bytes)
}

// Cache returns the counters and the size of the cache.
func (p *Projection) Cache() CacheStats {
	g := p.hold()
	defer g.Release()
	entries, bytes := g.Cache.Size()
	return CacheStats{
		Hits: p.cached.Hits.Load(), Misses: p.cached.Misses.Load(), PageHits: p.cached.PageHits.Load(), PageMisses: p.cached.PageMisses.Load(),
		Entries: entries, Bytes: bytes,
	}
}

// CacheStats describes the effect and the size of the cache.
type CacheStats struct {
	// Hits and Misses count the reads of single entities that the cache answered, and those
	// that it did not, since the projection was opened.
	Hits, Misses int64
	// PageHits and PageMisses count the same for pages of lists.
	PageHits, PageMisses int64
	// Entries is the number of entities and pages in the cache, and Bytes is about how much
	// memory they take.
	Entries, Bytes int64
}
