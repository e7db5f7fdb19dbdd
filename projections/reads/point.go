package reads

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite/direct"
)

// An Entity is one entity as it is stored.
type Entity struct {
	ID string
	// Version is the version of the last event, including a deletion.
	Version int64
	// Deleted means that only the version is left.
	Deleted bool
	// CreatedAt and UpdatedAt are in events.TimeFormat.
	CreatedAt, UpdatedAt string
	// Rendered is the entity as clients see it, a JSON object. Other reads share it, so its
	// bytes must not change.
	Rendered []byte
	// Cached means that the read model found the entity in its cache, not in the file.
	Cached bool
}

// The states of the row that entityQuery returns.
const (
	rowLiving = iota
	rowDeleted
	rowMissing
)

// FindEntity reads an entity, and the position that the answer holds for. found is false if
// the entity never existed.
func FindEntity(r *direct.Conn, key events.EntityKey) (e Entity, found bool, at events.Position, err error) {
	row, err := r.Read(entityQuery(key.Collection), listsql.EqualID(key.ID))
	if err != nil {
		return Entity{}, false, 0, err
	}
	at = events.Position(row.Int())
	state := row.Int()
	e = Entity{ID: key.ID, Version: row.Int(), Deleted: state == rowDeleted, CreatedAt: string(row.Bytes()), UpdatedAt: string(row.Bytes())}
	doc := row.Bytes()
	if err := row.Err(); err != nil {
		return Entity{}, false, 0, err
	}
	if state == rowLiving {
		e.Rendered = slices.Clip(document.Render(e.ID, e.Version, e.CreatedAt, e.UpdatedAt, doc))
	}
	return e, state != rowMissing, at, nil
}

var entityQueries queries

// entityQuery returns the query for an entity of a collection. Only the first row of the result counts. SQLite
// runs the parts of a UNION ALL in order, so the row of a living entity precedes that of a deleted one, and
// the row for a missing entity comes last. An outer join could express this in one part, but SQLite
// compiles such a join again for each parameter value.
func entityQuery(collection string) *direct.Query {
	return entityQueries.of(collection, func() string {
		const position = `(SELECT position FROM _checkpoint)`
		return `SELECT ` + position + `, 0, version, created_at, updated_at, doc FROM ` + schema.Quote(collection) + ` WHERE id = ?1
			UNION ALL SELECT ` + position + `, 1, version, created_at, updated_at, NULL FROM _tombstones WHERE collection = '` + collection + `' AND id = ?1
			UNION ALL SELECT ` + position + `, 2, 0, '', '', NULL`
	})
}

// queries holds one query for each collection. Safe for concurrent use.
type queries struct{ byCollection sync.Map }

// of returns the query of a collection. Its text is built once.
func (q *queries) of(collection string, text func() string) *direct.Query {
	if found, ok := q.byCollection.Load(collection); ok {
		return found.(*direct.Query)
	}
	found, _ := q.byCollection.LoadOrStore(collection, direct.NewQuery(text()))
	return found.(*direct.Query)
}

var probeQuery = direct.NewQuery(`SELECT position FROM _checkpoint`)

// Probe reads the checkpoint through the same kind of connection as [FindEntity].
func Probe(r *direct.Conn) error {
	row, err := r.Read(probeQuery, nil)
	if err == nil && row == nil {
		err = sql.ErrNoRows
	}
	return err
}

// FindHolder returns the living entity that holds a packed claim according to the table of claims, or
// an empty string. The table does not reflect recent changes.
func FindHolder(r *sqlite.Conn, collection string, packed []byte) (id string, err error) {
	err = r.QueryRowContext(context.Background(), `SELECT id FROM _claims WHERE collection = ? AND claim = ?`, collection, packed).Scan((*rowformat.ID)(&id))
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// FindHolders is [FindHolder] for many claims, not packed. It adds to holders, by claim.
func FindHolders(r *sqlite.Conn, collection string, claims []string, holders map[string]string) error {
	return rowformat.EachHolder(context.Background(), r, collection, claims, func(claim, id string) { holders[claim] = id })
}

// A ClaimScan reads the table of claims in parts. The zero ClaimScan begins at the start of the table.
type ClaimScan struct {
	collection string
	last       []byte // the claim that was read last, or nil before the first claim of a collection
	buffer     []byte
}

// scannedClaims is the maximum number of claims in a part.
const scannedClaims = 10_000

// nextCollectionQuery finds the collection that follows another in the table of claims.
var nextCollectionQuery = direct.NewQuery(`SELECT collection FROM _claims WHERE collection > CAST(?1 AS TEXT) ORDER BY collection LIMIT 1`)

var claimQueries queries

// Next reads the next part and calls add for each of its claims. more is false at the end of the table. A claim is
// valid only until add returns.
func (s *ClaimScan) Next(r *direct.Conn, add func(collection string, claim []byte)) (more bool, err error) {
	if s.last == nil {
		row, err := r.Read(nextCollectionQuery, []byte(s.collection))
		if err != nil || row == nil {
			return false, err
		}
		s.collection, s.last = string(row.Bytes()), []byte{}
		if err := row.Err(); err != nil {
			return false, err
		}
	}
	if s.buffer == nil {
		s.buffer = make([]byte, scannedClaims*rowformat.ClaimBytes)
	}
	q := claimQueries.of(s.collection, func() string {
		return `SELECT claim FROM _claims WHERE collection = '` + s.collection + `' AND claim > ?1 ORDER BY claim`
	})
	n, all, err := r.Blobs(q, s.last, rowformat.ClaimBytes, s.buffer)
	if err != nil {
		return false, err
	}
	for claim := range slices.Chunk(s.buffer[:n], rowformat.ClaimBytes) {
		add(s.collection, claim)
	}
	if all {
		s.last = nil
	} else {
		s.last = append(s.last[:0], s.buffer[n-rowformat.ClaimBytes:n]...)
	}
	return true, nil
}

// A KeyUse describes the admitted event that used an idempotency key.
type KeyUse struct {
	Position events.Position
	// At is the log time of the use.
	At          time.Time
	RequestHash string
	Collection  string
	ID          string
	Version     int64
	Kind        events.Kind
	// Rendered is the entity right after that event, or nil if the event deleted it.
	Rendered []byte
}

// FindKeyUse finds the use of an idempotency key.
func FindKeyUse(r *sqlite.Conn, key string) (use KeyUse, used bool, err error) {
	var at int64
	row := r.QueryRowContext(context.Background(), `SELECT position, at, request_hash, collection, id, version, kind, doc FROM _keys WHERE key = ?`, key)
	err = row.Scan(&use.Position, &at, &use.RequestHash, &use.Collection, &use.ID, &use.Version, &use.Kind, &use.Rendered)
	if errors.Is(err, sql.ErrNoRows) {
		return KeyUse{}, false, nil
	}
	if err != nil {
		return KeyUse{}, false, err
	}
	use.At = time.UnixMilli(at)
	return use, true, nil
}

// FindUsedKeys returns the subset of keys that were used.
func FindUsedKeys(r *sqlite.Conn, keys []string) (map[string]bool, error) {
	used := map[string]bool{}
	rows, err := r.QueryContext(context.Background(), `SELECT key FROM _keys WHERE key IN (SELECT value FROM json_each(?))`, rowformat.JSONSet(slices.Clone(keys)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		used[key] = true
	}
	return used, rows.Err()
}

// A VoidRecord is a record that admission rejected.
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

// Voids returns the newest void records, newest first, at most limit.
func Voids(ctx context.Context, r *sqlite.Conn, limit int) ([]VoidRecord, error) {
	voids := []VoidRecord{}
	err := r.SelectContext(ctx, &voids, `SELECT * FROM _voids ORDER BY offset DESC LIMIT ?`, limit)
	return voids, err
}

// VoidCounts returns the total number of void records by reason.
func VoidCounts(ctx context.Context, r *sqlite.Conn) (map[events.Reason]int64, error) {
	var rows []struct {
		Reason events.Reason `db:"reason"`
		Count  int64         `db:"count"`
	}
	if err := r.SelectContext(ctx, &rows, `SELECT reason, count FROM _void_counts`); err != nil {
		return nil, err
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
