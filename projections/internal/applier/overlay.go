package applier

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// An overlay is the part of the state that a batch touches, in memory. It is loaded with a few
// set queries, changed by the pure rule of admission, and written back once. So a batch of a
// thousand events costs a handful of reads, and an entity that changes ten times in it is
// written once.
type overlay struct {
	*events.Memory
	entities map[events.EntityKey]events.Entity // as loaded
	claims   map[events.ClaimKey]string         // as loaded
}

// loadOverlay reads from the file what admission needs to judge the records of a batch. It
// looks up no entity whose id is greater than all in the file, no claim that the filter of
// claims knows to be free, and no claim that an entity of the batch holds.
func (m *Entities) loadOverlay(ctx context.Context, tx readmodel.Tx, records []events.Record) (*overlay, error) {
	ids, claims, keys := touched(records)
	o := &overlay{
		Memory: &events.Memory{
			Entities: make(map[events.EntityKey]events.Entity, len(records)),
			Claims:   make(map[events.ClaimKey]string, len(records)),
			Keys:     map[string]events.KeyUse{},
			Time:     m.LogTime,
		},
		entities: map[events.EntityKey]events.Entity{},
		claims:   map[events.ClaimKey]string{},
	}
	for collection, set := range ids {
		if !m.known[collection] {
			continue
		}
		packed, err := m.seen(collection, set)
		switch {
		case err != nil || len(packed) == 0:
		case m.buffer != nil:
			err = m.lookUpEntities(tx, o, collection, packed)
		default:
			err = o.loadEntities(ctx, tx, collection, packed)
		}
		if err != nil {
			return nil, fmt.Errorf("load entities of %s: %w", collection, err)
		}
	}
	for collection, set := range claims {
		set = slices.DeleteFunc(set, func(claim string) bool {
			key := events.ClaimKey{Collection: collection, Claim: claim}
			if _, known := o.claims[key]; known { // that of an entity that was loaded
				return true
			}
			packed := rowformat.PackClaim(claim)
			if m.Claims.Free(collection, packed) {
				return true
			}
			holder, known := m.changedHolder(collection, packed)
			if holder != "" {
				o.claims[key] = holder
			}
			return known
		})
		m.lookedUp += len(set)
		if err := o.loadClaims(ctx, tx, collection, set); err != nil {
			return nil, fmt.Errorf("load claims of %s: %w", collection, err)
		}
	}
	if err := o.loadKeys(ctx, tx, keys); err != nil {
		return nil, fmt.Errorf("load idempotency keys: %w", err)
	}
	maps.Copy(o.Entities, o.entities)
	maps.Copy(o.Claims, o.claims)
	return o, nil
}

// changedHolder returns who holds a claim that the table of claims may lack. known is false if the
// table knows.
func (m *Entities) changedHolder(collection string, claim []byte) (holder string, known bool) {
	if m.buffer != nil {
		return m.buffer.holder(collection, claim)
	}
	return m.Recent.Holder(collection, claim)
}

// seen returns the packed ids that the file may hold.
func (m *Entities) seen(collection string, ids []string) (packed [][]byte, err error) {
	for _, id := range ids {
		p, err := rowformat.ParseID(id)
		if err != nil {
			return nil, err
		}
		if !m.unseen(collection, p) {
			packed = append(packed, p)
		}
	}
	return packed, nil
}

func touched(records []events.Record) (ids, claims map[string][]string, keys []string) {
	ids, claims = map[string][]string{}, map[string][]string{}
	for _, r := range records {
		if r.Content != events.HasEvent {
			continue
		}
		e := r.Event
		ids[e.Collection] = append(ids[e.Collection], e.EntityID)
		if len(e.Claims) > 0 {
			claims[e.Collection] = append(claims[e.Collection], e.Claims...)
		}
		if e.IdempotencyKey != "" {
			keys = append(keys, e.IdempotencyKey)
		}
	}
	return ids, claims, keys
}

func (o *overlay) loadEntities(ctx context.Context, q sqlx.QueryerContext, collection string, packed [][]byte) error {
	in, set := rowformat.Among(packed)
	rows, err := q.QueryContext(ctx, `
		SELECT `+rowformat.LivingColumns+` FROM `+schema.Quote(collection)+` WHERE id `+in+`
		UNION ALL
		SELECT `+rowformat.DeletedColumns+` FROM _tombstones WHERE collection = ?2 AND id `+in,
		set, collection)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e, err := rowformat.ScanEntity(rows, collection)
		if err != nil {
			return err
		}
		o.add(e)
	}
	return rows.Err()
}

// add adds an entity of the file.
func (o *overlay) add(e events.Entity) {
	o.entities[events.EntityKey{Collection: e.Collection, ID: e.ID}] = e
	for _, claim := range e.Claims {
		// The batch may free the claim without naming it.
		o.claims[events.ClaimKey{Collection: e.Collection, Claim: claim}] = e.ID
	}
}

func (o *overlay) loadClaims(ctx context.Context, q sqlx.QueryerContext, collection string, claims []string) error {
	return rowformat.EachHolder(ctx, q, collection, claims, func(claim, id string) {
		o.claims[events.ClaimKey{Collection: collection, Claim: claim}] = id
	})
}

func (o *overlay) loadKeys(ctx context.Context, q sqlx.QueryerContext, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	rows, err := q.QueryContext(ctx, `SELECT key, position, at FROM _keys WHERE key IN (SELECT value FROM json_each(?))`, rowformat.JSONSet(keys))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key string
		var position, at int64
		if err := rows.Scan(&key, &position, &at); err != nil {
			return err
		}
		o.Keys[key] = events.KeyUse{Offset: position - 1, At: time.UnixMilli(at)}
	}
	return rows.Err()
}
