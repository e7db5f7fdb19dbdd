package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

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

// An Entity is one entity as it is stored.
type Entity struct {
	ID string
	// Version is that of the last event, the deletion included.
	Version int64
	// Deleted tells that only the version is left.
	Deleted bool
	// CreatedAt and UpdatedAt are in events.TimeFormat.
	CreatedAt, UpdatedAt string
	// Rendered is the entity as clients see it, one JSON object. It is shared with other
	// reads: nothing may change its bytes.
	Rendered []byte
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
	e, state, at, err := p.storedEntity(ctx, g, key)
	if err != nil {
		return Entity{}, false, 0, fmt.Errorf("read %s/%s: %w", collection, id, err)
	}
	if state == rowLiving {
		g.cache.put(ticket, at, cacheKey{EntityKey: key}, e, nil, 0)
	}
	return e, state != rowMissing, at, nil
}

// storedEntity reads an entity from the file.
func (p *Projection) storedEntity(ctx context.Context, g *generation, key events.EntityKey) (e Entity, state rowState, at events.Position, err error) {
	query := entityQuery(key.Collection)
	var doc []byte
	err = p.readFrom(ctx, g, func(r *reader) error {
		row := r.QueryRowContext(context.Background(), query, equalID(key.ID))
		return row.Scan(&at, &state, &e.Version, &e.CreatedAt, &e.UpdatedAt, &doc)
	})
	e.ID, e.Deleted = key.ID, state == rowDeleted
	if err == nil && state == rowLiving {
		e.Rendered = slices.Clip(document.Render(e.ID, e.Version, e.CreatedAt, e.UpdatedAt, doc))
	}
	return e, state, at, err
}

// A rowState tells what the row that an entity's read gives stands for.
type rowState int

const (
	rowLiving rowState = iota
	rowDeleted
	rowMissing
)

var entityQueries sync.Map // collection → query text

// entityQuery builds the text once for each collection, since reads of one entity are the
// most frequent of all. Only the first row of the result counts: SQLite runs the parts of
// a UNION ALL one after the other, so the row of a living entity comes before that of a
// deleted one, and the row that stands for neither comes last. An outer join would say the
// same in one part, but SQLite plans such a join again for each value of its parameter.
func entityQuery(collection string) string {
	if q, ok := entityQueries.Load(collection); ok {
		return q.(string)
	}
	const position = `(SELECT position FROM _checkpoint)`
	q := `SELECT ` + position + `, 0, version, created_at, updated_at, doc FROM ` + quote(collection) + ` WHERE id = ?1
		UNION ALL SELECT ` + position + `, 1, version, created_at, updated_at, NULL FROM _tombstones WHERE collection = '` + collection + `' AND id = ?1
		UNION ALL SELECT ` + position + `, 2, 0, '', '', NULL`
	entityQueries.Store(collection, q)
	return q
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
	err = p.readFrom(ctx, g, func(r *reader) error {
		return r.QueryRowContext(context.Background(), `SELECT id FROM _claims WHERE collection = ? AND claim = ?`, collection, packed).Scan((*packedID)(&id))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the holder of a claim in %s: %w", collection, err)
	}
	return id, nil
}

// A KeyUse is the admitted event that used an idempotency key, and what it made.
type KeyUse struct {
	Position events.Position
	// At is the log time of the use.
	At          time.Time
	RequestHash string
	Collection  string
	ID          string
	Version     int64
	Kind        events.Kind
	// Rendered is the entity right after that event; nil if it was deleted.
	Rendered []byte
}

// KeyUse finds the use of an idempotency key within the window. It returns
// [ErrOverloaded] if no connection became free in time, and ctx.Err() if ctx ended before
// that.
func (p *Projection) KeyUse(ctx context.Context, key string) (use KeyUse, used bool, err error) {
	var at int64
	err = p.read(ctx, func(r *reader) error {
		row := r.QueryRowContext(context.Background(), `SELECT position, at, request_hash, collection, id, version, kind, doc FROM _keys WHERE key = ?`, key)
		return row.Scan(&use.Position, &at, &use.RequestHash, &use.Collection, &use.ID, &use.Version, &use.Kind, &use.Rendered)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return KeyUse{}, false, nil
	}
	if err != nil {
		return KeyUse{}, false, fmt.Errorf("read an idempotency key: %w", err)
	}
	use.At = time.UnixMilli(at)
	return use, true, nil
}

// A VoidRecord is a record that admission refused.
type VoidRecord struct {
	Offset   int64  `db:"offset" json:"offset"`
	At       int64  `db:"at" json:"at"` // Unix milliseconds, the broker's clock
	Reason   string `db:"reason" json:"reason"`
	Detail   string `db:"detail" json:"detail"`
	EventID  string `db:"event_id" json:"event_id,omitempty"`
	Type     string `db:"type" json:"type,omitempty"`
	EntityID string `db:"entity_id" json:"entity_id,omitempty"`
	Source   string `db:"source" json:"source,omitempty"`
}

// Voids lists the newest void records, newest first, at most limit.
func (p *Projection) Voids(ctx context.Context, limit int) ([]VoidRecord, error) {
	voids := []VoidRecord{}
	err := p.read(ctx, func(r *reader) error {
		return r.SelectContext(ctx, &voids, `SELECT * FROM _voids ORDER BY offset DESC LIMIT ?`, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list void records: %w", err)
	}
	return voids, nil
}

// VoidCounts tells how many void records there were in all, by reason.
func (p *Projection) VoidCounts(ctx context.Context) (map[events.Reason]int64, error) {
	var rows []struct {
		Reason events.Reason `db:"reason"`
		Count  int64         `db:"count"`
	}
	err := p.read(ctx, func(r *reader) error {
		return r.SelectContext(ctx, &rows, `SELECT reason, count FROM _void_counts`)
	})
	if err != nil {
		return nil, fmt.Errorf("count void records: %w", err)
	}
	counts := map[events.Reason]int64{}
	for _, r := range rows {
		counts[r.Reason] = r.Count
	}
	return counts, nil
}

// VoidSum adds up counts by reason.
func VoidSum(counts map[events.Reason]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}
