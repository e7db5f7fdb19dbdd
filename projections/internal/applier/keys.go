package applier

import (
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
	collection string
	claim      []byte
	wasHeld    bool
	holder     []byte // the packed id, or nil for none
}

// The statements that change claims.
const (
	insertClaim  = `INSERT INTO _claims (collection, claim, id) VALUES (?, ?, ?)`
	replaceClaim = `INSERT OR REPLACE INTO _claims (collection, claim, id) VALUES (?, ?, ?)`
	deleteClaim  = `DELETE FROM _claims WHERE collection = ? AND claim = ?`
)

// writeClaims keeps the changed claims until they are written to their table: in a private file in
// memory alone, and otherwise in the file as well.
func (m *Entities) writeClaims(_ context.Context, tx readmodel.Tx, o *overlay, _ []readmodel.Judged) error {
	changes := m.claimChanges[:0]
	for key, holder := range o.Claims {
		before := o.claims[key]
		if before == holder {
			continue
		}
		c := claimChange{collection: key.Collection, claim: rowformat.PackClaim(key.Claim), wasHeld: before != ""}
		if holder != "" {
			var err error
			if c.holder, err = rowformat.ParseID(holder); err != nil {
				return fmt.Errorf("write claims of %s: %w", c.collection, err)
			}
			m.Claims.add(c.collection, c.claim)
		}
		changes = append(changes, c)
	}
	m.claimChanges = changes
	if m.buffer != nil {
		return m.bufferClaims(tx)
	}
	slices.SortFunc(changes, func(a, b claimChange) int { return strings.Compare(a.collection, b.collection) })
	return m.direct.on(tx, func(conn connection) error { return m.Recent.write(conn, changes) })
}

// bufferClaims moves the changed claims to the buffer, and writes the buffer if it is full.
func (m *Entities) bufferClaims(tx readmodel.Tx) error {
	for _, c := range m.claimChanges {
		m.buffer.change(c)
	}
	clear(m.claimChanges) // they keep the events in memory
	if m.buffer.count < m.buffer.limit {
		return nil
	}
	return m.writeBuffered(tx)
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
