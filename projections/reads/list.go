package reads

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/internal/listsql"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
	"github.com/clusterlite/clusterlite/projections/query"
)

// Count returns the number of entities of a declared collection that match the query's filters.
// Without filters it costs nothing.
func (s *Tx) Count(ctx context.Context, collection string, q query.Query) (n int64, err error) {
	c := listsql.Count(q, collection)
	if err := s.conn.GetContext(ctx, &n, c.Text, c.Args...); err != nil {
		return 0, s.observed(fmt.Errorf("count %s: %w", collection, err))
	}
	return n, nil
}

// List passes the entities of a declared collection that match a query to each, one by one, as
// clients see them. The bytes are valid until each returns. If there are more entities than the
// limit, next is the cursor of the last one passed. List stops at the first error of each, and
// when ctx ends.
func (s *Tx) List(ctx context.Context, collection string, q query.Query, each func(rendered []byte) error) (next *query.Cursor, err error) {
	l := listing{limit: q.Limit, place: query.Cursor{Keys: make([]any, len(q.Keys())-1)}, each: each}
	way, err := listsql.ChooseRoute(ctx, s.conn, collection, q)
	if err != nil {
		return nil, s.observed(fmt.Errorf("list %s: %w", collection, err))
	}
	for _, part := range listsql.Selects(q, collection, way) {
		if err := l.take(ctx, s, part); err != nil {
			return nil, s.observed(fmt.Errorf("list %s: %w", collection, err))
		}
		if l.more {
			l.place.ID = string(l.id)
			return &l.place, nil
		}
	}
	return nil, nil
}

// listing is the state of a list that is being read.
type listing struct {
	limit, given int
	place        query.Cursor // the cursor of the last entity passed
	more         bool
	id, rendered []byte // buffers for the last entity, reused
	each         func([]byte) error
}

func (l *listing) take(ctx context.Context, s *Tx, part listsql.Statement) error {
	if l.limit > 0 {
		part.Text, part.Args = part.Text+" LIMIT ?", append(part.Args, l.limit-l.given+1)
	}
	rows, err := s.conn.QueryContext(ctx, part.Text, part.Args...)
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
			return s.unreadable(ctx, err)
		}
		l.id = rowformat.AppendID(l.id[:0], id)
		copy(l.place.Keys, keys)
		l.given++
		l.rendered = document.AppendRendered(l.rendered[:0], l.id, version, createdAt, updatedAt, doc)
		if err := l.each(l.rendered); err != nil {
			return err
		}
	}
	return rows.Err()
}
