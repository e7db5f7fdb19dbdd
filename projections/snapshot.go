package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// ErrBusy is returned if as many long reads are running as there can be.
var ErrBusy = errors.New("too many exports are running")

// A Snapshot is the read model at one position, whatever is applied meanwhile. Use it
// from one goroutine, and close it: until then it holds a connection, and one that is held
// by a long read keeps the WAL from being truncated.
type Snapshot struct {
	// At is its position.
	At events.Position

	reader  *reader
	release func() // gives back what the connection belongs to
	// observe, if not nil, takes the errors of reads: see [Projection.observe].
	observe func(error) error
}

// seen hands in the error of a read.
func (s *Snapshot) seen(err error) error {
	if err == nil || s.observe == nil {
		return err
	}
	return s.observe(err)
}

// Snapshot opens a snapshot for a short read. It waits for a free connection; if none
// becomes free in time it returns [ErrOverloaded], and ctx.Err() if ctx ends before that.
func (p *Projection) Snapshot(ctx context.Context) (*Snapshot, error) {
	g := p.hold()
	r, err := g.db.lists.acquire(ctx)
	if err != nil {
		err = p.observe(g, fmt.Errorf("begin a snapshot: %w", err))
		g.release()
		return nil, err
	}
	return begin(r, g.release, p.observer(g))
}

// LongSnapshot opens a snapshot for a read that may take long. It does not wait: it
// returns [ErrBusy] if too many are open.
func (p *Projection) LongSnapshot(ctx context.Context) (*Snapshot, error) {
	g := p.hold()
	r, err := g.db.exports.tryAcquire(ctx)
	if err == nil && r == nil {
		err = ErrBusy
	}
	if err != nil {
		err = p.observe(g, err)
		g.release()
		return nil, err
	}
	return begin(r, g.release, p.observer(g))
}

// begin opens a snapshot on a connection, and closes the connection and calls release if
// it can't. observe may be nil.
func begin(r *reader, release func(), observe func(error) error) (*Snapshot, error) {
	s := &Snapshot{reader: r, release: release, observe: observe}
	// Both take microseconds, so the context is one that can't end.
	_, err := r.ExecContext(context.Background(), `BEGIN`)
	if err == nil {
		// The snapshot is taken by the first read in the transaction.
		err = r.GetContext(context.Background(), &s.At, `SELECT position FROM _checkpoint`)
	}
	if err != nil {
		return nil, errors.Join(s.seen(fmt.Errorf("begin a snapshot: %w", err)), s.Close())
	}
	return s, nil
}

// Select reads rows into dest, a pointer to a slice, as sqlx does. It gives further read models
// access to their own tables.
func (s *Snapshot) Select(ctx context.Context, dest any, query string, args ...any) error {
	return s.seen(s.reader.SelectContext(ctx, dest, query, args...))
}

// Get reads one row into dest, as sqlx does. It returns an error that wraps sql.ErrNoRows if
// there is none.
func (s *Snapshot) Get(ctx context.Context, dest any, query string, args ...any) error {
	return s.seen(s.reader.GetContext(ctx, dest, query, args...))
}

// Close ends the snapshot. It may be called more than once.
func (s *Snapshot) Close() error {
	r := s.reader
	if r == nil {
		return nil
	}
	s.reader = nil
	defer s.release()
	// It must end also when the caller's context has ended, and takes microseconds.
	if _, err := r.ExecContext(context.Background(), `ROLLBACK`); err != nil {
		r.discard()
		return fmt.Errorf("end a snapshot: %w", err)
	}
	r.release()
	return nil
}

// Count counts the entities of a declared collection that the query's filters let
// through. Without filters it costs nothing.
func (s *Snapshot) Count(ctx context.Context, collection string, q Query) (n int64, err error) {
	c := countQuery(q, collection)
	if err := s.reader.GetContext(ctx, &n, c.text, c.args...); err != nil {
		return 0, s.seen(fmt.Errorf("count %s: %w", collection, err))
	}
	return n, nil
}

// List gives the entities of a declared collection that a query asks for, one by one,
// as clients see them; the bytes are good until each returns. If there are more than
// the limit, next is the place of the last that was given. It stops at the first error
// of each, and with ctx.
func (s *Snapshot) List(ctx context.Context, collection string, q Query, each func(rendered []byte) error) (next *Place, err error) {
	l := listing{limit: q.Limit, place: Place{Keys: make([]any, len(q.keys())-1)}, each: each}
	way, err := chooseRoute(ctx, s.reader, collection, q)
	if err != nil {
		return nil, s.seen(fmt.Errorf("list %s: %w", collection, err))
	}
	for _, part := range selects(q, collection, way) {
		if err := l.take(ctx, s, part); err != nil {
			return nil, s.seen(fmt.Errorf("list %s: %w", collection, err))
		}
		if l.more {
			l.place.ID = string(l.id)
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
	id, rendered []byte // of the last, and reused
	each         func([]byte) error
}

func (l *listing) take(ctx context.Context, s *Snapshot, part statement) error {
	if l.limit > 0 {
		part.text, part.args = part.text+" LIMIT ?", append(part.args, l.limit-l.given+1)
	}
	rows, err := s.reader.QueryContext(ctx, part.text, part.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var id, createdAt, updatedAt, doc sql.RawBytes
	var version int64
	keys := make([]any, len(l.place.Keys))
	into := []any{&id, &version, &createdAt, &updatedAt, &doc}
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
		l.id = appendID(l.id[:0], id)
		copy(l.place.Keys, keys)
		l.given++
		l.rendered = document.AppendRendered(l.rendered[:0], l.id, version, createdAt, updatedAt, doc)
		if err := l.each(l.rendered); err != nil {
			return err
		}
	}
	return rows.Err()
}
