package applier

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// keptVoids is how many void records are kept for operators. All of them are counted.
const keptVoids = 10_000

func (m *Entities) writeClaims(ctx context.Context, tx readmodel.Tx, o *overlay, _ []readmodel.Judged) error {
	for key, holder := range o.Claims {
		before := o.claims[key]
		if before == holder {
			continue
		}
		if err := m.writeClaim(ctx, tx, key.Collection, rowformat.PackClaim(key.Claim), before, holder); err != nil {
			return fmt.Errorf("write claims of %s: %w", key.Collection, err)
		}
	}
	return nil
}

func (m *Entities) writeClaim(ctx context.Context, tx readmodel.Tx, collection string, claim []byte, before, holder string) error {
	if holder == "" {
		return m.exec(ctx, tx, `DELETE FROM _claims WHERE collection = ? AND claim = ?`, collection, claim)
	}
	id, err := rowformat.ParseID(holder)
	if err != nil {
		return err
	}
	m.Claims.add(collection, claim)
	if before == "" {
		// This fails if an entity holds the claim despite the filter.
		return m.exec(ctx, tx, `INSERT INTO _claims (collection, claim, id) VALUES (?, ?, ?)`, collection, claim, id)
	}
	return m.exec(ctx, tx, `INSERT OR REPLACE INTO _claims (collection, claim, id) VALUES (?, ?, ?)`, collection, claim, id)
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
