// Package rowformat converts between entities and the columns that store them: packed ids,
// packed claims, and documents without the members that the server adds.
package rowformat

import (
	"database/sql"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// The columns that a [Scanner] reads: of a collection's table, and of the table of tombstones.
const (
	LivingColumns  = `id, version, created_at, updated_at, doc, _claims, 0`
	DeletedColumns = `id, version, created_at, updated_at, '', '', 1`
)

// A Scanner reads entities from rows of [LivingColumns] and [DeletedColumns]. It reuses its
// buffers. One goroutine uses it.
type Scanner struct {
	doc      sql.RawBytes
	claims   string
	rendered []byte
}

// Scan reads the current row. The rendered entity is valid until the next call. The claims are as
// they are stored: see [SplitClaims].
func (s *Scanner) Scan(rows *sql.Rows, collection string) (e events.Entity, claims string, err error) {
	if e, err = s.scan(rows, collection); err != nil {
		return e, "", err
	}
	if !e.Deleted {
		s.rendered = document.AppendRendered(s.rendered[:0], e.ID, e.Version, e.CreatedAt, e.UpdatedAt, s.doc)
		e.Rendered = s.rendered
	}
	return e, s.claims, nil
}

func (s *Scanner) scan(rows *sql.Rows, collection string) (events.Entity, error) {
	e := events.Entity{Collection: collection}
	err := rows.Scan((*ID)(&e.ID), &e.Version, &e.CreatedAt, &e.UpdatedAt, &s.doc, &s.claims, &e.Deleted)
	return e, err
}

// ScanEntity reads the current row into an entity that stays valid.
func ScanEntity(rows *sql.Rows, collection string) (events.Entity, error) {
	var s Scanner
	e, err := s.scan(rows, collection)
	if err != nil {
		return e, err
	}
	if !e.Deleted {
		e.Rendered = document.Render(e.ID, e.Version, e.CreatedAt, e.UpdatedAt, s.doc)
	}
	e.Claims = SplitClaims(s.claims)
	return e, nil
}
