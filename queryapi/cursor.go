package queryapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
)

// A cursor is the place of the last entity of a page, with the sort that it is a place
// in. Clients see it as opaque; nothing in it is trusted.
type cursor struct {
	Sort string `json:"s,omitempty"`
	Keys []any  `json:"k,omitempty"`
	ID   string `json:"i"`
}

func encodeCursor(sort []projections.SortKey, place projections.Place) string {
	b, err := json.Marshal(cursor{sortText(sort), place.Keys, place.ID})
	if err != nil { // the keys are scalars that SQLite gave
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func sortText(sort []projections.SortKey) string {
	names := make([]string, len(sort))
	for i, k := range sort {
		if names[i] = k.Column.Name(); k.Descending {
			names[i] = "-" + names[i]
		}
	}
	return strings.Join(names, ",")
}

// decodeCursor reads a cursor for a list of this sort. The error is a problem.
func decodeCursor(text string, sort []projections.SortKey) (*projections.Place, error) {
	bad := malformed("after must be a cursor from a Link of this list, with the same sort.")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, bad
	}
	var c cursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || d.More() || c.Sort != sortText(sort) || !events.ValidID(c.ID) {
		return nil, bad
	}
	keys := sort
	if n := len(sort); n > 0 && sort[n-1].Column.Name() == "id" {
		keys = sort[:n-1] // the id says it
	}
	if len(c.Keys) != len(keys) {
		return nil, bad
	}
	for i, k := range keys {
		if c.Keys[i], err = cursorKey(k.Column.Kind(), c.Keys[i]); err != nil {
			return nil, bad
		}
	}
	return &projections.Place{Keys: c.Keys, ID: c.ID}, nil
}

// cursorKey gives a key of a cursor as SQLite gave it.
func cursorKey(kind projections.Kind, value any) (any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		if kind == projections.Text || kind == projections.Time {
			return v, nil
		}
	case json.Number:
		if kind == projections.Text || kind == projections.Time {
			break
		}
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		return v.Float64()
	}
	return nil, malformed("a key of another type")
}
