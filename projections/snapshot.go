package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
)

// ErrBusy is returned when as many reads that last are running as there can be.
var ErrBusy = errors.New("too many exports are running")

// A Snapshot is the read model at one position, whatever is applied meanwhile. Use it
// from one goroutine, and close it.
type Snapshot struct {
	// At is its position.
	At events.Position

	prepare func(ctx context.Context, tx *sqlx.Tx, query string) (s *sqlx.Stmt, done func(), err error)
	tx      *sqlx.Tx
	release func()
}

// Snapshot opens a snapshot for a read that is short. It ends with ctx.
func (p *Projection) Snapshot(ctx context.Context) (*Snapshot, error) {
	g := p.hold()
	return begin(ctx, g.db.reader, &Snapshot{prepare: g.reads.prepareFor, release: g.release})
}

// LongSnapshot opens one for a read that may last. It returns [ErrBusy] if too many are
// open.
func (p *Projection) LongSnapshot(ctx context.Context) (*Snapshot, error) {
	select {
	case p.exporting <- struct{}{}:
		g := p.hold()
		return begin(ctx, g.db.export, &Snapshot{prepare: prepareOnce, release: func() { g.release(); <-p.exporting }})
	default:
		return nil, ErrBusy
	}
}

func begin(ctx context.Context, pool *sqlx.DB, s *Snapshot) (_ *Snapshot, err error) {
	if s.tx, err = pool.BeginTxx(ctx, nil); err != nil {
		s.release()
		return nil, fmt.Errorf("begin a snapshot: %w", err)
	}
	if err := s.tx.GetContext(ctx, &s.At, `SELECT position FROM _checkpoint`); err != nil {
		return nil, errors.Join(fmt.Errorf("begin a snapshot: %w", err), s.Close())
	}
	return s, nil
}

// Close ends the snapshot.
func (s *Snapshot) Close() error {
	err := s.tx.Rollback() // it only read
	s.release()
	return err
}

// Count counts the entities of a declared collection that the query's filters let
// through. Without filters it costs nothing.
func (s *Snapshot) Count(ctx context.Context, collection string, q Query) (n int64, err error) {
	c := q.count(collection)
	if err := s.tx.GetContext(ctx, &n, c.text, c.args...); err != nil {
		return 0, fmt.Errorf("count %s: %w", collection, err)
	}
	return n, nil
}

// List gives the entities of a declared collection that a query asks for, one by one,
// as clients see them; the bytes are good until each returns. If there are more than
// the limit, next is the place of the last that was given. It stops at the first error
// of each, and with ctx.
func (s *Snapshot) List(ctx context.Context, collection string, q Query, each func(rendered []byte) error) (next *Place, err error) {
	l := listing{limit: q.Limit, place: Place{Keys: make([]any, len(q.keys())-1)}, each: each}
	way, err := s.route(ctx, collection, q)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", collection, err)
	}
	for _, part := range q.selects(collection, way) {
		if err := l.take(ctx, s, part); err != nil {
			return nil, fmt.Errorf("list %s: %w", collection, err)
		}
		if l.more {
			return &l.place, nil
		}
	}
	return nil, nil
}

// listing is a list that is being read.
type listing struct {
	limit, given int
	place        Place // of the last that was given
	more         bool
	each         func([]byte) error
}

func (l *listing) take(ctx context.Context, s *Snapshot, part statement) error {
	if l.limit > 0 {
		part.text, part.args = part.text+" LIMIT ?", append(part.args, l.limit-l.given+1)
	}
	prepared, done, err := s.prepare(ctx, s.tx, part.text)
	if err != nil {
		return err
	}
	defer done()
	rows, err := prepared.QueryContext(ctx, part.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var doc []byte
	var id string
	keys := make([]any, len(l.place.Keys))
	into := []any{&id, (*rawBytes)(&doc)}
	for i := range keys {
		into = append(into, &keys[i])
	}
	for rows.Next() {
		if l.limit > 0 && l.given == l.limit {
			l.more = true
			break
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		l.place.ID = id
		copy(l.place.Keys, keys)
		l.given++
		if err := l.each(doc); err != nil {
			return err
		}
	}
	return rows.Err()
}

// rawBytes takes a text without a copy of a copy: the driver hands out its own.
type rawBytes []byte

// Scan implements sql.Scanner.
func (b *rawBytes) Scan(value any) error {
	switch v := value.(type) {
	case string:
		*b = append((*b)[:0], v...)
	case []byte:
		*b = append((*b)[:0], v...)
	default:
		return fmt.Errorf("a document is a %T", value)
	}
	return nil
}
