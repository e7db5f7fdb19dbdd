// Package rowformat converts between entities and the columns that store them: packed ids,
// packed claims, and documents without the members that the server adds.
package rowformat

import (
	"database/sql"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// ScanEntity reads an entity from the columns id, version, created_at, updated_at, doc,
// _claims and whether it is deleted.
func ScanEntity(rows *sql.Rows, collection string) (events.Entity, error) {
	e := events.Entity{Collection: collection}
	var claims string
	var doc sql.RawBytes
	if err := rows.Scan((*ID)(&e.ID), &e.Version, &e.CreatedAt, &e.UpdatedAt, &doc, &claims, &e.Deleted); err != nil {
		return e, err
	}
	if !e.Deleted {
		e.Rendered = document.Render(e.ID, e.Version, e.CreatedAt, e.UpdatedAt, doc)
	}
	e.Claims = SplitClaims(claims)
	return e, nil
}
