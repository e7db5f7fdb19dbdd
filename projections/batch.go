package projections

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
)

// keptVoids is how many void records are kept for operators to see; all are counted.
const keptVoids = 10_000

// A judged record is a record with its verdict.
type judged struct {
	record  events.Record
	verdict events.Verdict
	// rendered is the entity right after an admitted event that carries an idempotency
	// key, for the answer to a retry. Later events of the batch may change the entity.
	rendered []byte
}

// writer applies batches over the one connection that writes. One goroutine uses it.
type writer struct {
	conn     *sqlx.Conn
	wal      *walCheckpoints
	known    map[string]bool     // collections that have a table
	folded   map[string][]string // the properties of collections whose values are folded
	folder   *valueFolder
	digests  map[string]*collectionDigest
	position events.Position
	logTime  time.Time
	last     string // the identity of the record that was applied last
	// oldestKey is a log time that is not after that of any idempotency key; zero if there
	// is no key.
	oldestKey time.Time
	scratch   []byte
	meta      map[string]string // what the file belongs to
	// stale tells that what is kept in memory is not what the file holds.
	stale bool
	cache *cache // of the generation, if it serves; closed while a batch is committed
	// claims is a filter of the claims in the file.
	claims *claimFilter
	// newest is, by collection, the greatest id that any entity has or had. Ids of new
	// entities grow with time, so most of them need no lookup.
	newest map[string][]byte
	// begin and commit are prepared, since the driver compiles statements without arguments
	// each time.
	begin, commit *sqlx.Stmt
}

// collectionDigest sums up a collection.
type collectionDigest struct {
	Summary
	changed bool
}

func (w *writer) summaries() map[string]Summary {
	all := make(map[string]Summary, len(w.digests))
	for name, d := range w.digests {
		all[name] = d.Summary
	}
	return all
}

func newWriter(ctx context.Context, db *database) (*writer, error) {
	conn, err := db.writer.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s for writing: %w", db.path, err)
	}
	w := &writer{conn: conn, wal: db.wal, folded: db.folded, folder: newValueFolder(), claims: newClaimFilter()}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s for writing: %w", db.path, err), w.close())
	}
	if err := w.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the checkpoint of %s: %w", db.path, err), w.close())
	}
	return w, nil
}

func (w *writer) prepare(ctx context.Context) (err error) {
	if w.begin, err = w.conn.PreparexContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	w.commit, err = w.conn.PreparexContext(ctx, `COMMIT`)
	return err
}

// load reads what the writer keeps in memory between batches. It is also how the
// writer forgets a batch that failed. Until it succeeds nothing is applied.
func (w *writer) load(ctx context.Context) (err error) {
	defer func() { w.stale = err != nil }()
	var checkpoint struct {
		Position  int64         `db:"position"`
		LogTime   int64         `db:"log_time"`
		Last      string        `db:"last_record"`
		OldestKey sql.NullInt64 `db:"oldest_key"`
	}
	if err := w.conn.GetContext(ctx, &checkpoint, `SELECT position, log_time, last_record, (SELECT min(at) FROM _keys) AS oldest_key FROM _checkpoint`); err != nil {
		return err
	}
	w.position, w.logTime, w.last = events.Position(checkpoint.Position), time.UnixMilli(checkpoint.LogTime), checkpoint.Last
	w.oldestKey = time.Time{}
	if checkpoint.OldestKey.Valid {
		w.oldestKey = time.UnixMilli(checkpoint.OldestKey.Int64)
	}
	names, err := tables(ctx, w.conn)
	if err != nil {
		return err
	}
	w.known, w.digests = map[string]bool{}, map[string]*collectionDigest{}
	for _, name := range names {
		w.known[name] = true
	}
	if err := w.loadNewest(ctx, names); err != nil {
		return err
	}
	if err := w.loadMeta(ctx); err != nil {
		return err
	}
	kept, err := loadSummaries(ctx, w.conn)
	for name, summary := range kept {
		w.digests[name] = &collectionDigest{Summary: summary}
	}
	return err
}

// loadNewest finds the greatest id in each collection, tombstones included.
func (w *writer) loadNewest(ctx context.Context, collections []string) error {
	w.newest = make(map[string][]byte, len(collections))
	for _, name := range collections {
		var newest []byte
		query := `SELECT max(id) FROM (SELECT max(id) AS id FROM ` + quote(name) + ` UNION ALL SELECT max(id) FROM _tombstones WHERE collection = ?)`
		if err := w.conn.GetContext(ctx, &newest, query, name); err != nil {
			return err
		}
		w.newest[name] = newest
	}
	return nil
}

// unseen reports whether an id is greater than that of any entity that a collection has or
// had, so that the file holds nothing about it.
func (w *writer) unseen(collection string, id []byte) bool {
	return bytes.Compare(id, w.newest[collection]) > 0
}

func (w *writer) close() error {
	var errs []error
	for _, statement := range []*sqlx.Stmt{w.begin, w.commit} {
		if statement != nil {
			errs = append(errs, statement.Close())
		}
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// apply takes a batch into the file in one transaction, rows and position together.
// If a record stops the reader, what is before it is applied, and the error is an
// [events.NewerFormatError]. Any other error leaves the file as it was.
func (w *writer) apply(ctx context.Context, records []events.Record) (done []judged, err error) {
	if w.stale {
		if err := w.load(ctx); err != nil {
			return nil, fmt.Errorf("read the checkpoint after a batch that failed: %w", err)
		}
	}
	if err := w.wal.makeRoom(w.conn); err != nil {
		return nil, err
	}
	w.claims.begin()
	defer w.claims.end()
	if _, err := w.begin.ExecContext(ctx); err != nil {
		return nil, fmt.Errorf("begin a batch: %w", err)
	}
	done, stop, err := w.judge(ctx, records)
	w.cache.close()
	if err == nil {
		if _, err = w.commit.ExecContext(ctx); err != nil {
			err = fmt.Errorf("commit a batch: %w", err)
		}
	}
	if err != nil {
		// Both may fail too, on a disk that is gone; the first error says it.
		_, _ = w.conn.ExecContext(ctx, `ROLLBACK`)
		_ = w.load(ctx) // else the next batch begins with it
		w.cache.drop()
		w.claims.forget() // what it said may be why
		return nil, err
	}
	w.wal.wrote(walBytes(done))
	w.cache.open(w.position)
	return done, stop
}

// walBytes estimates how much a batch has written to the WAL: its documents, and for each
// record some pages of indexes.
func walBytes(done []judged) (bytes int64) {
	const pages = 3 << 10
	for _, j := range done {
		bytes += pages + int64(len(j.record.Event.Document))
	}
	return bytes
}

// judge admits the records and writes what they change. stop is the error of a record
// that this version can't read; err is a failure to write.
func (w *writer) judge(ctx context.Context, records []events.Record) (done []judged, stop, err error) {
	o, err := w.loadOverlay(ctx, records)
	if err != nil {
		return nil, nil, err
	}
	done = make([]judged, 0, len(records))
	for _, r := range records {
		v, err := o.Take(r)
		if err != nil {
			stop = err
			break
		}
		j := judged{record: r, verdict: v}
		if v.Outcome == events.Admitted && r.Event.IdempotencyKey != "" {
			j.rendered = o.Entities[entityKey(r.Event)].Rendered
		}
		done = append(done, j)
	}
	if len(done) == 0 {
		return nil, stop, nil
	}
	return done, stop, w.write(ctx, o, done)
}

func (w *writer) write(ctx context.Context, o *overlay, done []judged) error {
	for _, step := range []func(context.Context, *overlay, []judged) error{
		w.writeEntities, w.writeClaims, w.writeKeys, w.writeVoids, w.writeDigests, w.writeCheckpoint,
	} {
		if err := step(ctx, o, done); err != nil {
			return err
		}
	}
	return nil
}

// exec runs a statement. The driver keeps those that ran last prepared, see openDatabase.
func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	if _, err := w.conn.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

func entityKey(e events.Event) events.EntityKey {
	return events.EntityKey{Collection: e.Collection, ID: e.EntityID}
}

// writeEntities writes each entity that changed once, in the order of the log: ids grow
// with time, and so does the table.
func (w *writer) writeEntities(ctx context.Context, o *overlay, done []judged) error {
	written := make(map[events.EntityKey]bool, len(done))
	for _, j := range done {
		key := entityKey(j.record.Event)
		if j.verdict.Outcome != events.Admitted || written[key] {
			continue
		}
		written[key] = true
		w.cache.change(key)
		if err := w.writeEntity(ctx, o.entities[key], o.Entities[key]); err != nil {
			return fmt.Errorf("write %s/%s: %w", key.Collection, key.ID, err)
		}
	}
	return nil
}

func (w *writer) writeEntity(ctx context.Context, before, after events.Entity) error {
	if err := w.meet(ctx, after.Collection); err != nil {
		return err
	}
	claims := joinClaims(after.Claims)
	w.digest(before, after, claims)
	table := quote(after.Collection)
	id, err := mustPackID(after.ID)
	if err != nil {
		return err
	}
	if w.unseen(after.Collection, id) {
		w.newest[after.Collection] = id
	}
	if after.Deleted {
		if before.Version > 0 {
			if err := w.exec(ctx, `DELETE FROM `+table+` WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return w.exec(ctx, `INSERT INTO _tombstones (collection, id, version, created_at, updated_at) VALUES (?, ?, ?, ?, ?)`,
			after.Collection, id, after.Version, after.CreatedAt, after.UpdatedAt)
	}
	doc := stored(after)
	var folded sql.NullString
	if properties := w.folded[after.Collection]; len(properties) > 0 {
		if folded.String, err = w.folder.fold(after.Rendered, properties); err != nil {
			return fmt.Errorf("fold its values: %w", err)
		}
		folded.Valid = true
	}
	if before.Version == 0 {
		return w.exec(ctx, `INSERT INTO `+table+` (id, version, created_at, updated_at, doc, _claims, _folded) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			id, after.Version, after.CreatedAt, after.UpdatedAt, doc, claims, folded)
	}
	// In place: a row that is replaced moves to the end of the table.
	return w.exec(ctx, `UPDATE `+table+` SET version = ?2, created_at = ?3, updated_at = ?4, doc = ?5, _claims = ?6, _folded = ?7 WHERE id = ?1`,
		id, after.Version, after.CreatedAt, after.UpdatedAt, doc, claims, folded)
}

// meet makes the table of a collection that the log names for the first time.
func (w *writer) meet(ctx context.Context, collection string) error {
	if w.known[collection] {
		return nil
	}
	if err := w.exec(ctx, createCollection(collection)); err != nil {
		return err
	}
	w.known[collection] = true
	return nil
}

func (w *writer) digest(before, after events.Entity, claims string) {
	d := w.digests[after.Collection]
	if d == nil {
		d = &collectionDigest{}
		w.digests[after.Collection] = d
	}
	d.changed = true
	if before.Version > 0 {
		d.Digest.subtract(rowDigest(before, joinClaims(before.Claims), &w.scratch))
		d.Living--
	}
	d.Digest.add(rowDigest(after, claims, &w.scratch))
	if !after.Deleted {
		d.Living++
	}
}

func (w *writer) writeClaims(ctx context.Context, o *overlay, _ []judged) error {
	for key, holder := range o.Claims {
		before := o.claims[key]
		if before == holder {
			continue
		}
		if err := w.writeClaim(ctx, key.Collection, packClaim(key.Claim), before, holder); err != nil {
			return fmt.Errorf("write claims of %s: %w", key.Collection, err)
		}
	}
	return nil
}

func (w *writer) writeClaim(ctx context.Context, collection string, claim []byte, before, holder string) error {
	if holder == "" {
		return w.exec(ctx, `DELETE FROM _claims WHERE collection = ? AND claim = ?`, collection, claim)
	}
	id, err := mustPackID(holder)
	if err != nil {
		return err
	}
	w.claims.add(collection, claim)
	if before == "" {
		// It fails if the claim is held after all.
		return w.exec(ctx, `INSERT INTO _claims (collection, claim, id) VALUES (?, ?, ?)`, collection, claim, id)
	}
	return w.exec(ctx, `INSERT OR REPLACE INTO _claims (collection, claim, id) VALUES (?, ?, ?)`, collection, claim, id)
}

// writeKeys keeps the idempotency keys of admitted events with what a retry is
// answered, and forgets those that have left the window.
func (w *writer) writeKeys(ctx context.Context, o *overlay, done []judged) error {
	for _, j := range done {
		e := j.record.Event
		if j.verdict.Outcome != events.Admitted || e.IdempotencyKey == "" {
			continue
		}
		at := o.Keys[e.IdempotencyKey].At
		if w.oldestKey.IsZero() || at.Before(w.oldestKey) {
			w.oldestKey = at
		}
		var doc sql.NullString
		if e.Kind != events.Deleted {
			doc = sql.NullString{String: string(j.rendered), Valid: true}
		}
		if err := w.exec(ctx, `INSERT OR REPLACE INTO _keys (key, position, at, request_hash, collection, id, version, kind, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.IdempotencyKey, int64(j.record.Position()), at.UnixMilli(), e.RequestHash,
			e.Collection, e.EntityID, e.Version, string(e.Kind), doc); err != nil {
			return fmt.Errorf("write an idempotency key: %w", err)
		}
	}
	return w.forgetKeys(ctx, o.Time.Add(-events.IdempotencyWindow))
}

// forgetKeys deletes the idempotency keys that were used at a log time or before.
func (w *writer) forgetKeys(ctx context.Context, until time.Time) error {
	if w.oldestKey.IsZero() || w.oldestKey.After(until) {
		return nil
	}
	if err := w.exec(ctx, `DELETE FROM _keys WHERE at <= ?`, until.UnixMilli()); err != nil {
		return fmt.Errorf("forget idempotency keys: %w", err)
	}
	var oldest sql.NullInt64
	if err := w.conn.GetContext(ctx, &oldest, `SELECT min(at) FROM _keys`); err != nil {
		return fmt.Errorf("find the oldest idempotency key: %w", err)
	}
	w.oldestKey = time.Time{}
	if oldest.Valid {
		w.oldestKey = time.UnixMilli(oldest.Int64)
	}
	return nil
}

func (w *writer) writeVoids(ctx context.Context, _ *overlay, done []judged) error {
	any := false
	for _, j := range done {
		if j.verdict.Outcome != events.Void {
			continue
		}
		any = true
		r, e := j.record, j.record.Event
		kind := ""
		if r.Content == events.HasEvent {
			kind = e.Type()
		}
		if err := w.exec(ctx, `INSERT INTO _voids (offset, at, reason, detail, event_id, type, entity_id, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.Offset, r.Timestamp.UnixMilli(), string(j.verdict.Reason), j.verdict.Detail, e.ID, kind, e.EntityID, e.Source); err != nil {
			return fmt.Errorf("keep a void record: %w", err)
		}
		if err := w.exec(ctx, `INSERT INTO _void_counts (reason, count) VALUES (?, 1) ON CONFLICT (reason) DO UPDATE SET count = count + 1`, string(j.verdict.Reason)); err != nil {
			return fmt.Errorf("count a void record: %w", err)
		}
	}
	if !any {
		return nil
	}
	if err := w.exec(ctx, `DELETE FROM _voids WHERE offset <= (SELECT offset FROM _voids ORDER BY offset DESC LIMIT 1 OFFSET ?)`, keptVoids); err != nil {
		return fmt.Errorf("forget old void records: %w", err)
	}
	return nil
}

func (w *writer) writeDigests(ctx context.Context, _ *overlay, _ []judged) error {
	for collection, d := range w.digests {
		if !d.changed {
			continue
		}
		if err := w.exec(ctx, `INSERT OR REPLACE INTO _digests (collection, living, digest) VALUES (?, ?, ?)`, collection, d.Living, d.Digest.bytes()); err != nil {
			return fmt.Errorf("write the digest of %s: %w", collection, err)
		}
		d.changed = false
	}
	return nil
}

func (w *writer) writeCheckpoint(ctx context.Context, o *overlay, done []judged) error {
	last := done[len(done)-1].record
	identity := last.Identity()
	if err := w.exec(ctx, `UPDATE _checkpoint SET position = ?, log_time = ?, last_record = ?`, int64(last.Position()), o.Time.UnixMilli(), identity); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	w.position, w.logTime, w.last = last.Position(), o.Time, identity
	return nil
}
