package applier

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// keptVoids is how many void records are kept for operators. All of them are counted.
const keptVoids = 10_000

// A claimChange is a claim that a batch gives to an entity, takes from one, or both.
type claimChange struct {
	collection     string
	claim          []byte
	before, holder string // empty for none
}

// The statements that change claims.
const (
	insertClaim  = `INSERT INTO _claims (collection, claim, id) VALUES (?, ?, ?)`
	replaceClaim = `INSERT OR REPLACE INTO _claims (collection, claim, id) VALUES (?, ?, ?)`
	deleteClaim  = `DELETE FROM _claims WHERE collection = ? AND claim = ?`
)

// writeClaims writes the changed claims in the order of the table. A large batch has several
// claims for a page, which is then changed once, while it is in the processor's caches.
func (m *Entities) writeClaims(_ context.Context, tx readmodel.Tx, o *overlay, _ []readmodel.Judged) error {
	m.claimChanges = m.claimChanges[:0]
	for key, holder := range o.Claims {
		if before := o.claims[key]; before != holder {
			m.claimChanges = append(m.claimChanges, claimChange{key.Collection, rowformat.PackClaim(key.Claim), before, holder})
		}
	}
	defer clear(m.claimChanges) // they keep the events in memory
	if m.buffer != nil {
		return m.bufferClaims(tx)
	}
	slices.SortFunc(m.claimChanges, func(a, b claimChange) int {
		return cmp.Or(strings.Compare(a.collection, b.collection), bytes.Compare(a.claim, b.claim))
	})
	return m.direct.on(tx, func(conn connection) error {
		for _, c := range m.claimChanges {
			if err := m.writeClaim(conn, c); err != nil {
				return fmt.Errorf("write claims of %s: %w", c.collection, err)
			}
		}
		return nil
	})
}

// bufferClaims moves the changed claims to the buffer, and writes the buffer if it is full.
func (m *Entities) bufferClaims(tx readmodel.Tx) error {
	for _, c := range m.claimChanges {
		if c.holder != "" {
			m.Claims.add(c.collection, c.claim)
		}
		if err := m.buffer.change(c); err != nil {
			return fmt.Errorf("keep a claim of %s: %w", c.collection, err)
		}
	}
	if m.buffer.count < m.buffer.limit {
		return nil
	}
	return m.writeBuffered(tx)
}

func (m *Entities) writeClaim(conn connection, c claimChange) error {
	if c.holder == "" {
		return conn.exec(deleteClaim, c.collection, c.claim)
	}
	id, err := rowformat.ParseID(c.holder)
	if err != nil {
		return err
	}
	m.Claims.add(c.collection, c.claim)
	if c.before == "" {
		// This fails if an entity holds the claim despite the filter.
		return conn.exec(insertClaim, c.collection, c.claim, id)
	}
	return conn.exec(replaceClaim, c.collection, c.claim, id)
}

// writeKeys stores the idempotency keys of admitted events with the answer to a retry, and
// deletes those that have left the window.
func (m *Entities) writeKeys(ctx context.Context, tx readmodel.Tx, o *overlay, done []readmodel.Judged) error {
	for _, j := range done {
		e := j.Record.Event
		if j.Verdict.Outcome != events.Admitted || e.IdempotencyKey == "" {
			continue
		}
		at := o.Keys[e.IdempotencyKey].At
		if m.oldestKey.IsZero() || at.Before(m.oldestKey) {
			m.oldestKey = at
		}
		var doc sql.NullString
		if e.Kind != events.Deleted {
			doc = sql.NullString{String: string(j.Rendered), Valid: true}
		}
		if err := m.exec(ctx, tx, `INSERT OR REPLACE INTO _keys (key, position, at, request_hash, collection, id, version, kind, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.IdempotencyKey, int64(j.Record.Position()), at.UnixMilli(), e.RequestHash,
			e.Collection, e.EntityID, e.Version, string(e.Kind), doc); err != nil {
			return fmt.Errorf("write an idempotency key: %w", err)
		}
	}
	return m.forgetKeys(ctx, tx, o.Time.Add(-events.IdempotencyWindow))
}

// forgetKeys deletes the idempotency keys that were used at or before a log time.
func (m *Entities) forgetKeys(ctx context.Context, tx readmodel.Tx, until time.Time) error {
	if m.oldestKey.IsZero() || m.oldestKey.After(until) {
		return nil
	}
	if err := m.exec(ctx, tx, `DELETE FROM _keys WHERE at <= ?`, until.UnixMilli()); err != nil {
		return fmt.Errorf("forget idempotency keys: %w", err)
	}
	var oldest sql.NullInt64
	if err := sqlx.GetContext(ctx, tx, &oldest, `SELECT min(at) FROM _keys`); err != nil {
		return fmt.Errorf("find the oldest idempotency key: %w", err)
	}
	m.oldestKey = time.Time{}
	if oldest.Valid {
		m.oldestKey = time.UnixMilli(oldest.Int64)
	}
	return nil
}

func (m *Entities) writeVoids(ctx context.Context, tx readmodel.Tx, _ *overlay, done []readmodel.Judged) error {
	any := false
	for _, j := range done {
		if j.Verdict.Outcome != events.Void {
			continue
		}
		any = true
		r, e := j.Record, j.Record.Event
		kind := ""
		if r.Content == events.HasEvent {
			kind = e.Type()
		}
		if err := m.exec(ctx, tx, `INSERT INTO _voids (offset, at, reason, detail, event_id, type, entity_id, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.Offset, r.Timestamp.UnixMilli(), string(j.Verdict.Reason), j.Verdict.Detail, e.ID, kind, e.EntityID, e.Source); err != nil {
			return fmt.Errorf("keep a void record: %w", err)
		}
		if err := m.exec(ctx, tx, `INSERT INTO _void_counts (reason, count) VALUES (?, 1) ON CONFLICT (reason) DO UPDATE SET count = count + 1`, string(j.Verdict.Reason)); err != nil {
			return fmt.Errorf("count a void record: %w", err)
		}
	}
	if !any {
		return nil
	}
	if err := m.exec(ctx, tx, `DELETE FROM _voids WHERE offset <= (SELECT offset FROM _voids ORDER BY offset DESC LIMIT 1 OFFSET ?)`, keptVoids); err != nil {
		return fmt.Errorf("forget old void records: %w", err)
	}
	return nil
}
