package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
)

// reads holds the statements that read, prepared once.
type reads struct {
	db         *database
	statements sync.Map // query text → *sqlx.Stmt
	kept       atomic.Int64
}

func (r *reads) prepare(query string) (*sqlx.Stmt, error) {
	if s, ok := r.statements.Load(query); ok {
		return s.(*sqlx.Stmt), nil
	}
	s, err := r.db.reader.Preparex(query)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", query, err)
	}
	if other, raced := r.statements.LoadOrStore(query, s); raced {
		_ = s.Close() // one is enough
		return other.(*sqlx.Stmt), nil
	}
	return s, nil
}

// keptStatements bounds the statements that lists leave behind: filters and sorts can be
// combined without end.
const keptStatements = 256

// prepareFor gives a statement within a transaction of the reader pool, kept for the
// next one if there is room. done must be called.
func (r *reads) prepareFor(ctx context.Context, tx *sqlx.Tx, query string) (s *sqlx.Stmt, done func(), err error) {
	_, kept := r.statements.Load(query)
	if !kept && r.kept.Add(1) > keptStatements {
		r.kept.Add(-1)
		return prepareOnce(ctx, tx, query)
	}
	if s, err = r.prepare(query); err != nil {
		return nil, nil, err
	}
	s = tx.StmtxContext(ctx, s)
	return s, func() { _ = s.Close() }, nil
}

// prepareOnce gives a statement for this transaction alone.
func prepareOnce(ctx context.Context, tx *sqlx.Tx, query string) (s *sqlx.Stmt, done func(), err error) {
	if s, err = tx.PreparexContext(ctx, query); err != nil {
		return nil, nil, fmt.Errorf("prepare %s: %w", query, err)
	}
	return s, func() { _ = s.Close() }, nil
}

func (r *reads) close() error {
	var errs []error
	r.statements.Range(func(_, s any) bool {
		errs = append(errs, s.(*sqlx.Stmt).Close())
		return true
	})
	return errors.Join(errs...)
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
	// Rendered is the entity as clients see it, one JSON object.
	Rendered []byte
}

// Entity reads one entity of a declared collection, with the position that the answer
// holds for; both come from one snapshot. found is false for one that never was; for
// one that was deleted, Entity.Deleted is true.
func (p *Projection) Entity(collection, id string) (e Entity, found bool, at events.Position, err error) {
	query := entityQuery(collection)
	g := p.hold()
	defer g.release()
	s, err := g.reads.prepare(query)
	if err != nil {
		return e, false, 0, err
	}
	var version, deleted sql.NullInt64
	var created, updated sql.NullString
	// Without a context that can end: in the mattn driver such a one costs a goroutine
	// for each query, and this one takes microseconds.
	row := s.QueryRowContext(context.Background(), id)
	if err := row.Scan(&at, &version, &created, &updated, &e.Rendered, &deleted); err != nil {
		return e, false, 0, fmt.Errorf("read %s/%s: %w", collection, id, err)
	}
	e.ID, e.Version, e.Deleted = id, version.Int64, deleted.Int64 == 1
	e.CreatedAt, e.UpdatedAt = created.String, updated.String
	return e, version.Valid, at, nil
}

var entityQueries sync.Map // collection → query text

// entityQuery is made once for each collection, since reads of one entity are the most
// frequent of all.
func entityQuery(collection string) string {
	if q, ok := entityQueries.Load(collection); ok {
		return q.(string)
	}
	q := `SELECT c.position, coalesce(e.version, t.version), coalesce(e.created_at, t.created_at), coalesce(e.updated_at, t.updated_at), e.doc, t.version IS NOT NULL
		FROM _checkpoint c
		LEFT JOIN ` + quote(collection) + ` e ON e.id = ?1
		LEFT JOIN _tombstones t ON e.id IS NULL AND t.collection = '` + collection + `' AND t.id = ?1`
	entityQueries.Store(collection, q)
	return q
}

// Holder gives the living entity that holds a claim, or an empty string.
func (p *Projection) Holder(collection, claim string) (id string, err error) {
	g := p.hold()
	defer g.release()
	s, err := g.reads.prepare(`SELECT id FROM _claims WHERE collection = ? AND claim = ?`)
	if err != nil {
		return "", err
	}
	err = s.QueryRowContext(context.Background(), collection, claim).Scan(&id)
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

// KeyUse finds the use of an idempotency key within the window.
func (p *Projection) KeyUse(key string) (use KeyUse, used bool, err error) {
	g := p.hold()
	defer g.release()
	s, err := g.reads.prepare(`SELECT position, at, request_hash, collection, id, version, kind, doc FROM _keys WHERE key = ?`)
	if err != nil {
		return use, false, err
	}
	var at int64
	err = s.QueryRowContext(context.Background(), key).Scan(&use.Position, &at, &use.RequestHash, &use.Collection, &use.ID, &use.Version, &use.Kind, &use.Rendered)
	if errors.Is(err, sql.ErrNoRows) {
		return use, false, nil
	}
	if err != nil {
		return use, false, fmt.Errorf("read an idempotency key: %w", err)
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
	g := p.hold()
	defer g.release()
	err := g.db.reader.SelectContext(ctx, &voids, `SELECT * FROM _voids ORDER BY offset DESC LIMIT ?`, limit)
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
	g := p.hold()
	defer g.release()
	if err := g.db.reader.SelectContext(ctx, &rows, `SELECT reason, count FROM _void_counts`); err != nil {
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
