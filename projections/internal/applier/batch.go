// Package applier applies batches of records to a file: it admits each record, writes what
// the record changes, and moves the position, all in one transaction.
package applier

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// keptVoids is how many void records are kept for operators to see; all are counted.
const keptVoids = 10_000

// Writer applies batches over the one connection that writes. One goroutine uses it.
type Writer struct {
	Conn     *sqlx.Conn
	WAL      *sqlite.Checkpointer
	known    map[string]bool     // collections that have a table
	folded   map[string][]string // the properties of collections whose values are folded
	folder   *schema.ValueFolder
	digests  map[string]*collectionDigest
	Position events.Position
	LogTime  time.Time
	Last     string // the identity of the record that was applied last
	// oldestKey is a log time that is not after that of any idempotency key; zero if there
	// is no key.
	oldestKey time.Time
	scratch   []byte
	Meta      map[string]string // what the file belongs to
	// stale tells that what is kept in memory is not what the file holds.
	stale bool
	Cache *entitycache.Cache // of the generation, if it serves; closed while a batch is committed
	// claims is a filter of the claims in the file.
	Claims *ClaimFilter
	// newest is, by collection, the greatest id that any entity has or had. Ids of new
	// entities grow with time, so most of them need no lookup.
	newest map[string][]byte
	// begin and commit are prepared, since the driver compiles statements without arguments
	// each time.
	begin, commit *sqlx.Stmt
}

// collectionDigest sums up a collection.
type collectionDigest struct {
	digest.Summary
	changed bool
}

func (w *Writer) Summaries() map[string]digest.Summary {
	all := make(map[string]digest.Summary, len(w.digests))
	for name, d := range w.digests {
		all[name] = d.Summary
	}
	return all
}

func NewWriter(ctx context.Context, db *sqlite.Database) (*Writer, error) {
	conn, err := db.Writer.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s for writing: %w", db.Path, err)
	}
	w := &Writer{Conn: conn, WAL: db.WAL, folded: db.Folded, folder: schema.NewValueFolder(), Claims: NewClaimFilter()}
	if err := w.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s for writing: %w", db.Path, err), w.Close())
	}
	if err := w.Load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the checkpoint of %s: %w", db.Path, err), w.Close())
	}
	return w, nil
}

func (w *Writer) prepare(ctx context.Context) (err error) {
	if w.begin, err = w.Conn.PreparexContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	w.commit, err = w.Conn.PreparexContext(ctx, `COMMIT`)
	return err
}

// Load reads what the writer keeps in memory between batches. It is also how the
// writer forgets a batch that failed. Until it succeeds nothing is applied.
func (w *Writer) Load(ctx context.Context) (err error) {
	defer func() { w.stale = err != nil }()
	var checkpoint struct {
		Position  int64         `db:"position"`
		LogTime   int64         `db:"log_time"`
		Last      string        `db:"last_record"`
		OldestKey sql.NullInt64 `db:"oldest_key"`
	}
	if err := w.Conn.GetContext(ctx, &checkpoint, `SELECT position, log_time, last_record, (SELECT min(at) FROM _keys) AS oldest_key FROM _checkpoint`); err != nil {
		return err
	}
	w.Position, w.LogTime, w.Last = events.Position(checkpoint.Position), time.UnixMilli(checkpoint.LogTime), checkpoint.Last
	w.oldestKey = time.Time{}
	if checkpoint.OldestKey.Valid {
		w.oldestKey = time.UnixMilli(checkpoint.OldestKey.Int64)
	}
	names, err := schema.Tables(ctx, w.Conn)
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
	kept, err := rowformat.LoadSummaries(ctx, w.Conn)
	for name, summary := range kept {
		w.digests[name] = &collectionDigest{Summary: summary}
	}
	return err
}

// loadNewest finds the greatest id in each collection, tombstones included.
func (w *Writer) loadNewest(ctx context.Context, collections []string) error {
	w.newest = make(map[string][]byte, len(collections))
	for _, name := range collections {
		var newest []byte
		query := `SELECT max(id) FROM (SELECT max(id) AS id FROM ` + schema.Quote(name) + ` UNION ALL SELECT max(id) FROM _tombstones WHERE collection = ?)`
		if err := w.Conn.GetContext(ctx, &newest, query, name); err != nil {
			return err
		}
		w.newest[name] = newest
	}
	return nil
}

// unseen reports whether an id is greater than that of any entity that a collection has or
// had, so that the file holds nothing about it.
func (w *Writer) unseen(collection string, id []byte) bool {
	return bytes.Compare(id, w.newest[collection]) > 0
}

func (w *Writer) Close() error {
	var errs []error
	for _, statement := range []*sqlx.Stmt{w.begin, w.commit} {
		if statement != nil {
			errs = append(errs, statement.Close())
		}
	}
	return errors.Join(append(errs, w.Conn.Close())...)
}

// Apply takes a batch into the file in one transaction, rows and position together.
// If a record stops the reader, what is before it is applied, and the error is an
// [events.NewerFormatError]. Any other error leaves the file as it was.
func (w *Writer) Apply(ctx context.Context, records []events.Record) (done []readmodel.Judged, err error) {
	if w.stale {
		if err := w.Load(ctx); err != nil {
			return nil, fmt.Errorf("read the checkpoint after a batch that failed: %w", err)
		}
	}
	if err := w.WAL.MakeRoom(w.Conn); err != nil {
		return nil, err
	}
	w.Claims.Begin()
	defer w.Claims.End()
	if _, err := w.begin.ExecContext(ctx); err != nil {
		return nil, fmt.Errorf("begin a batch: %w", err)
	}
	done, stop, err := w.judge(ctx, records)
	w.Cache.Close()
	if err == nil {
		if _, err = w.commit.ExecContext(ctx); err != nil {
			err = fmt.Errorf("commit a batch: %w", err)
		}
	}
	if err != nil {
		// Both may fail too, on a disk that is gone; the first error says it.
		_, _ = w.Conn.ExecContext(ctx, `ROLLBACK`)
		_ = w.Load(ctx) // else the next batch begins with it
		w.Cache.Drop()
		w.Claims.Forget() // what it said may be why
		return nil, err
	}
	w.WAL.Wrote(walBytes(done))
	w.Cache.Open(w.Position)
	return done, stop
}

// walBytes estimates how much a batch has written to the WAL: its documents, and for each
// record some pages of indexes.
func walBytes(done []readmodel.Judged) (bytes int64) {
	const pages = 3 << 10
	for _, j := range done {
		bytes += pages + int64(len(j.Record.Event.Document))
	}
	return bytes
}

// judge admits the records and writes what they change. stop is the error of a record
// that this version can't read; err is a failure to write.
func (w *Writer) judge(ctx context.Context, records []events.Record) (done []readmodel.Judged, stop, err error) {
	o, err := w.loadOverlay(ctx, records)
	if err != nil {
		return nil, nil, err
	}
	done = make([]readmodel.Judged, 0, len(records))
	for _, r := range records {
		v, err := o.Take(r)
		if err != nil {
			stop = err
			break
		}
		j := readmodel.Judged{Record: r, Verdict: v}
		if v.Outcome == events.Admitted && r.Event.IdempotencyKey != "" {
			j.Rendered = o.Entities[entityKey(r.Event)].Rendered
		}
		done = append(done, j)
	}
	if len(done) == 0 {
		return nil, stop, nil
	}
	return done, stop, w.write(ctx, o, done)
}

func (w *Writer) write(ctx context.Context, o *overlay, done []readmodel.Judged) error {
	for _, step := range []func(context.Context, *overlay, []readmodel.Judged) error{
		w.writeEntities, w.writeClaims, w.writeKeys, w.writeVoids, w.writeDigests, w.writeCheckpoint,
	} {
		if err := step(ctx, o, done); err != nil {
			return err
		}
	}
	return nil
}

// exec runs a statement. The driver keeps those that ran last prepared, see openDatabase.
func (w *Writer) exec(ctx context.Context, query string, args ...any) error {
	if _, err := w.Conn.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

func entityKey(e events.Event) events.EntityKey {
	return events.EntityKey{Collection: e.Collection, ID: e.EntityID}
}

// writeEntities writes each entity that changed once, in the order of the log: ids grow
// with time, and so does the table.
func (w *Writer) writeEntities(ctx context.Context, o *overlay, done []readmodel.Judged) error {
	written := make(map[events.EntityKey]bool, len(done))
	for _, j := range done {
		key := entityKey(j.Record.Event)
		if j.Verdict.Outcome != events.Admitted || written[key] {
			continue
		}
		written[key] = true
		w.Cache.Change(key)
		if err := w.writeEntity(ctx, o.entities[key], o.Entities[key]); err != nil {
			return fmt.Errorf("write %s/%s: %w", key.Collection, key.ID, err)
		}
	}
	return nil
}

func (w *Writer) writeEntity(ctx context.Context, before, after events.Entity) error {
	if err := w.meet(ctx, after.Collection); err != nil {
		return err
	}
	claims := rowformat.JoinClaims(after.Claims)
	w.digest(before, after, claims)
	table := schema.Quote(after.Collection)
	id, err := rowformat.ParseID(after.ID)
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
	doc := rowformat.StoredDocument(after)
	var folded sql.NullString
	if properties := w.folded[after.Collection]; len(properties) > 0 {
		if folded.String, err = w.folder.Fold(after.Rendered, properties); err != nil {
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
func (w *Writer) meet(ctx context.Context, collection string) error {
	if w.known[collection] {
		return nil
	}
	if err := w.exec(ctx, schema.CreateCollection(collection)); err != nil {
		return err
	}
	w.known[collection] = true
	return nil
}

func (w *Writer) digest(before, after events.Entity, claims string) {
	d := w.digests[after.Collection]
	if d == nil {
		d = &collectionDigest{}
		w.digests[after.Collection] = d
	}
	d.changed = true
	if before.Version > 0 {
		d.Digest.Subtract(digest.OfRow(before, rowformat.JoinClaims(before.Claims), &w.scratch))
		d.Living--
	}
	d.Digest.Add(digest.OfRow(after, claims, &w.scratch))
	if !after.Deleted {
		d.Living++
	}
}

func (w *Writer) writeClaims(ctx context.Context, o *overlay, _ []readmodel.Judged) error {
	for key, holder := range o.Claims {
		before := o.claims[key]
		if before == holder {
			continue
		}
		if err := w.writeClaim(ctx, key.Collection, rowformat.PackClaim(key.Claim), before, holder); err != nil {
			return fmt.Errorf("write claims of %s: %w", key.Collection, err)
		}
	}
	return nil
}

func (w *Writer) writeClaim(ctx context.Context, collection string, claim []byte, before, holder string) error {
	if holder == "" {
		return w.exec(ctx, `DELETE FROM _claims WHERE collection = ? AND claim = ?`, collection, claim)
	}
	id, err := rowformat.ParseID(holder)
	if err != nil {
		return err
	}
	w.Claims.add(collection, claim)
	if before == "" {
		// It fails if the claim is held after all.
		return w.exec(ctx, `INSERT INTO _claims (collection, claim, id) VALUES (?, ?, ?)`, collection, claim, id)
	}
	return w.exec(ctx, `INSERT OR REPLACE INTO _claims (collection, claim, id) VALUES (?, ?, ?)`, collection, claim, id)
}

// writeKeys keeps the idempotency keys of admitted events with what a retry is
// answered, and forgets those that have left the window.
func (w *Writer) writeKeys(ctx context.Context, o *overlay, done []readmodel.Judged) error {
	for _, j := range done {
		e := j.Record.Event
		if j.Verdict.Outcome != events.Admitted || e.IdempotencyKey == "" {
			continue
		}
		at := o.Keys[e.IdempotencyKey].At
		if w.oldestKey.IsZero() || at.Before(w.oldestKey) {
			w.oldestKey = at
		}
		var doc sql.NullString
		if e.Kind != events.Deleted {
			doc = sql.NullString{String: string(j.Rendered), Valid: true}
		}
		if err := w.exec(ctx, `INSERT OR REPLACE INTO _keys (key, position, at, request_hash, collection, id, version, kind, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.IdempotencyKey, int64(j.Record.Position()), at.UnixMilli(), e.RequestHash,
			e.Collection, e.EntityID, e.Version, string(e.Kind), doc); err != nil {
			return fmt.Errorf("write an idempotency key: %w", err)
		}
	}
	return w.forgetKeys(ctx, o.Time.Add(-events.IdempotencyWindow))
}

// forgetKeys deletes the idempotency keys that were used at a log time or before.
func (w *Writer) forgetKeys(ctx context.Context, until time.Time) error {
	if w.oldestKey.IsZero() || w.oldestKey.After(until) {
		return nil
	}
	if err := w.exec(ctx, `DELETE FROM _keys WHERE at <= ?`, until.UnixMilli()); err != nil {
		return fmt.Errorf("forget idempotency keys: %w", err)
	}
	var oldest sql.NullInt64
	if err := w.Conn.GetContext(ctx, &oldest, `SELECT min(at) FROM _keys`); err != nil {
		return fmt.Errorf("find the oldest idempotency key: %w", err)
	}
	w.oldestKey = time.Time{}
	if oldest.Valid {
		w.oldestKey = time.UnixMilli(oldest.Int64)
	}
	return nil
}

func (w *Writer) writeVoids(ctx context.Context, _ *overlay, done []readmodel.Judged) error {
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
		if err := w.exec(ctx, `INSERT INTO _voids (offset, at, reason, detail, event_id, type, entity_id, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.Offset, r.Timestamp.UnixMilli(), string(j.Verdict.Reason), j.Verdict.Detail, e.ID, kind, e.EntityID, e.Source); err != nil {
			return fmt.Errorf("keep a void record: %w", err)
		}
		if err := w.exec(ctx, `INSERT INTO _void_counts (reason, count) VALUES (?, 1) ON CONFLICT (reason) DO UPDATE SET count = count + 1`, string(j.Verdict.Reason)); err != nil {
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

func (w *Writer) writeDigests(ctx context.Context, _ *overlay, _ []readmodel.Judged) error {
	for collection, d := range w.digests {
		if !d.changed {
			continue
		}
		if err := w.exec(ctx, `INSERT OR REPLACE INTO _digests (collection, living, digest) VALUES (?, ?, ?)`, collection, d.Living, d.Digest.Bytes()); err != nil {
			return fmt.Errorf("write the digest of %s: %w", collection, err)
		}
		d.changed = false
	}
	return nil
}

func (w *Writer) writeCheckpoint(ctx context.Context, o *overlay, done []readmodel.Judged) error {
	last := done[len(done)-1].Record
	identity := last.Identity()
	if err := w.exec(ctx, `UPDATE _checkpoint SET position = ?, log_time = ?, last_record = ?`, int64(last.Position()), o.Time.UnixMilli(), identity); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	w.Position, w.LogTime, w.Last = last.Position(), o.Time, identity
	return nil
}
