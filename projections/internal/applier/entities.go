package applier

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/entitycache"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/readmodel"
)

// Entities is the built-in read model: the current state of every entity, who holds which claim,
// recent idempotency keys and void records. It is also the state that admission decides on, so
// it judges the records of a batch before any read model writes them.
type Entities struct {
	Position events.Position
	LogTime  time.Time
	Last     string // the identity of the last applied record
	// Cache is the cache of the generation, if it serves. It is closed while a batch is
	// committed.
	Cache *entitycache.Cache
	// Claims is a filter of the claims in the file.
	Claims *ClaimFilter
	// Recent holds the recently changed claims. A private file has none.
	Recent *RecentClaims

	known   map[string]bool     // collections that have a table
	folded  map[string][]string // the properties of collections whose values are folded
	folder  *schema.ValueFolder
	digests map[string]*collectionDigest
	// newest is, by collection, the greatest id that any entity has or had. Ids of new
	// entities grow with time, so most of them need no lookup.
	newest map[string][]byte
	// oldestKey is a log time that is not after that of any idempotency key. It is zero if
	// there is no key.
	oldestKey time.Time
	judged    *overlay // the state after the batch that Judge judged last
	// claimChanges is reused by each batch.
	claimChanges []claimChange
	// lookedUp counts the claims that were looked up in their table: see FilterPays.
	lookedUp int
	// buffer holds claims that a private file lacks; nil in other files.
	buffer     *claimBuffer
	direct     direct
	statements map[string]statementSet // by collection
	scratch    []byte
}

var _ readmodel.Model = (*Entities)(nil)

// Name implements [readmodel.Model].
func (m *Entities) Name() string { return "entities" }

// Serves implements [readmodel.Model].
func (m *Entities) Serves() []string { return []string{"entities", "lists"} }

// collectionDigest is the summary of a collection.
type collectionDigest struct {
	digest.Summary
	changed bool
}

// Summaries returns the digest of each collection.
func (m *Entities) Summaries() map[string]digest.Summary {
	all := make(map[string]digest.Summary, len(m.digests))
	for name, d := range m.digests {
		all[name] = d.Summary
	}
	return all
}

// Load implements [readmodel.Model]. The tables exist already.
func (m *Entities) Load(ctx context.Context, tx readmodel.Tx) (events.Position, error) {
	var checkpoint struct {
		Position  int64         `db:"position"`
		LogTime   int64         `db:"log_time"`
		Last      string        `db:"last_record"`
		OldestKey sql.NullInt64 `db:"oldest_key"`
	}
	if err := sqlx.GetContext(ctx, tx, &checkpoint, `SELECT position, log_time, last_record, (SELECT min(at) FROM _keys) AS oldest_key FROM _checkpoint`); err != nil {
		return 0, err
	}
	m.judged = nil
	m.Position, m.LogTime, m.Last = events.Position(checkpoint.Position), time.UnixMilli(checkpoint.LogTime), checkpoint.Last
	m.oldestKey = time.Time{}
	if checkpoint.OldestKey.Valid {
		m.oldestKey = time.UnixMilli(checkpoint.OldestKey.Int64)
	}
	names, err := schema.Tables(ctx, tx)
	if err != nil {
		return 0, err
	}
	if err := m.Recent.load(ctx, tx); err != nil {
		return 0, err
	}
	m.known, m.digests = map[string]bool{}, map[string]*collectionDigest{}
	for _, name := range names {
		m.known[name] = true
	}
	if err := m.loadNewest(ctx, tx, names); err != nil {
		return 0, err
	}
	kept, err := rowformat.LoadSummaries(ctx, tx)
	for name, summary := range kept {
		m.digests[name] = &collectionDigest{Summary: summary}
	}
	return m.Position, err
}

// loadNewest finds the greatest id in each collection, tombstones included.
func (m *Entities) loadNewest(ctx context.Context, tx readmodel.Tx, collections []string) error {
	m.newest = make(map[string][]byte, len(collections))
	for _, name := range collections {
		var newest []byte
		query := `SELECT max(id) FROM (SELECT max(id) AS id FROM ` + schema.Quote(name) + ` UNION ALL SELECT max(id) FROM _tombstones WHERE collection = ?)`
		if err := sqlx.GetContext(ctx, tx, &newest, query, name); err != nil {
			return err
		}
		m.newest[name] = newest
	}
	return nil
}

// unseen reports whether an id is greater than that of any entity that a collection has or
// had, so that the file holds nothing about it.
func (m *Entities) unseen(collection string, id []byte) bool {
	return bytes.Compare(id, m.newest[collection]) > 0
}

// Judge admits records. The caller passes the result to Apply. stop is the error of a record that
// this version can't read; the records before it are judged. err is a failure to read the file.
func (m *Entities) Judge(ctx context.Context, tx readmodel.Tx, records []events.Record) (done []readmodel.Judged, stop, err error) {
	o, err := m.loadOverlay(ctx, tx, records)
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
	m.judged = o
	return done, stop, nil
}

// Apply implements [readmodel.Model] for the batch that Judge judged last.
func (m *Entities) Apply(ctx context.Context, tx readmodel.Tx, done []readmodel.Judged) error {
	o := m.judged
	m.judged = nil
	for _, step := range []func(context.Context, readmodel.Tx, *overlay, []readmodel.Judged) error{
		m.writeEntities, m.writeClaims, m.writeKeys, m.writeVoids, m.writeDigests, m.writeCheckpoint,
	} {
		if err := step(ctx, tx, o, done); err != nil {
			return err
		}
	}
	return nil
}

// exec runs a statement. The driver keeps the most recent statements prepared: see package
// sqlite.
func (m *Entities) exec(ctx context.Context, tx readmodel.Tx, query string, args ...any) error {
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

func entityKey(e events.Event) events.EntityKey {
	return events.EntityKey{Collection: e.Collection, ID: e.EntityID}
}

// writeEntities writes each changed entity once, in the order of the log, because ids and the
// table grow with time.
func (m *Entities) writeEntities(ctx context.Context, tx readmodel.Tx, o *overlay, done []readmodel.Judged) error {
	for _, j := range done {
		if !j.Admitted() {
			continue
		}
		if err := m.addCollection(ctx, tx, j.Record.Event.Collection); err != nil {
			return err
		}
	}
	return m.direct.on(tx, func(conn connection) error {
		if m.buffer != nil && len(done) > rowsAhead {
			return m.writePrepared(conn, o, done)
		}
		for row, err := range m.rows(o, done) {
			if err == nil {
				err = m.writeRow(conn, row)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// A statementSet holds the statements that write entities of a collection.
type statementSet struct{ insert, update, remove string }

func (m *Entities) statementsOf(collection string) statementSet {
	set, known := m.statements[collection]
	if !known {
		table := schema.Quote(collection)
		set = statementSet{
			insert: `INSERT INTO ` + table + ` (id, version, created_at, updated_at, doc, _claims, _folded) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			// In place, because a replaced row moves to the end of the table.
			update: `UPDATE ` + table + ` SET version = ?2, created_at = ?3, updated_at = ?4, doc = ?5, _claims = ?6, _folded = ?7 WHERE id = ?1`,
			remove: `DELETE FROM ` + table + ` WHERE id = ?`,
		}
		if m.statements == nil {
			m.statements = map[string]statementSet{}
		}
		m.statements[collection] = set
	}
	return set
}

// addCollection creates the table of a collection that the log names for the first time.
func (m *Entities) addCollection(ctx context.Context, tx readmodel.Tx, collection string) error {
	if m.known[collection] {
		return nil
	}
	if err := m.exec(ctx, tx, schema.CreateCollection(collection)); err != nil {
		return err
	}
	m.known[collection] = true
	return nil
}

func (m *Entities) digest(before, after events.Entity, claims string) {
	d := m.digests[after.Collection]
	if d == nil {
		d = &collectionDigest{}
		m.digests[after.Collection] = d
	}
	d.changed = true
	if before.Version > 0 {
		d.Digest.Subtract(digest.OfRow(before, rowformat.JoinClaims(before.Claims), &m.scratch))
		if !before.Deleted {
			d.Living--
		}
	}
	d.Digest.Add(digest.OfRow(after, claims, &m.scratch))
	if !after.Deleted {
		d.Living++
	}
}

func (m *Entities) writeDigests(ctx context.Context, tx readmodel.Tx, _ *overlay, _ []readmodel.Judged) error {
	for collection, d := range m.digests {
		if !d.changed {
			continue
		}
		if err := m.exec(ctx, tx, `INSERT OR REPLACE INTO _digests (collection, living, digest) VALUES (?, ?, ?)`, collection, d.Living, d.Digest.Bytes()); err != nil {
			return fmt.Errorf("write the digest of %s: %w", collection, err)
		}
		d.changed = false
	}
	return nil
}

func (m *Entities) writeCheckpoint(ctx context.Context, tx readmodel.Tx, o *overlay, done []readmodel.Judged) error {
	last := done[len(done)-1].Record
	identity := last.Identity()
	if err := m.exec(ctx, tx, `UPDATE _checkpoint SET position = ?, log_time = ?, last_record = ?`, int64(last.Position()), o.Time.UnixMilli(), identity); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	m.Position, m.LogTime, m.Last = last.Position(), o.Time, identity
	return nil
}
