package listing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/query"
)

// A cursor is the place of the last entity of a page, with what it is a place in. Clients
// see it as opaque; nothing in it is trusted.
type cursor struct {
	// Collection and Sort say which list it is a place in, and Types of which types the
	// columns of the sort were, a letter each: the values of another type stand elsewhere.
	Collection string `json:"c,omitempty"`
	Sort       string `json:"s,omitempty"`
	Types      string `json:"t,omitempty"`
	Keys       []any  `json:"k,omitempty"`
	ID         string `json:"i"`
}

func EncodeCursor(collection string, sort []query.SortKey, place query.Cursor) string {
	keys := make([]any, len(place.Keys))
	for i, key := range place.Keys {
		keys[i] = writeKey(key)
	}
	b, err := json.Marshal(cursor{collection, sortText(sort), typesText(sort), keys, place.ID})
	if err != nil { // the keys are scalars that SQLite gave
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func sortText(sort []query.SortKey) string {
	names := make([]string, len(sort))
	for i, k := range sort {
		if names[i] = k.Column.Name(); k.Descending {
			names[i] = "-" + names[i]
		}
		for word, placed := range nulls {
			if k.Nulls == placed {
				names[i] += "." + word
			}
		}
	}
	return strings.Join(names, ",")
}

// typeLetters stand for types in cursors, which outlive the process that makes them.
var typeLetters = map[query.Kind]byte{
	query.Text: 's', query.Integer: 'i', query.Number: 'n', query.Boolean: 'b', query.Time: 't',
}

func typesText(sort []query.SortKey) string {
	letters := make([]byte, len(sort))
	for i, k := range sort {
		letters[i] = typeLetters[k.Column.Kind()]
	}
	return string(letters)
}

// decodeCursor reads a cursor for a list of a collection with this sort. The error is a
// problem.
func decodeCursor(text, collection string, sort []query.SortKey) (*query.Cursor, error) {
	bad := malformed("after must be a cursor from a Link field of this list, with the same sort.")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, bad
	}
	var c cursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || c.Sort != sortText(sort) || !events.ValidID(c.ID) {
		return nil, bad
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad
	}
	switch {
	case c.Collection == "", c.Collection == collection && c.Types != typesText(sort):
		return nil, malformed("The cursor in after belongs to an earlier definition of the list. Start again from the first page, without after.")
	case c.Collection != collection:
		return nil, bad
	}
	keys := slices.IndexFunc(sort, func(k query.SortKey) bool { return k.Column.Name() == "id" })
	if keys < 0 {
		keys = len(sort) // else what comes from the id on is said by the id
	}
	if len(c.Keys) != keys {
		return nil, bad
	}
	for i, key := range c.Keys {
		if c.Keys[i], err = readKey(key); err != nil {
			return nil, bad
		}
	}
	return &query.Cursor{Keys: c.Keys, ID: c.ID}, nil
}

// writeKey gives a key for JSON. A floating-point number has an exponent, so that it is
// read as one again: as an integer, the digits that tell it from its neighbours would be
// another number from 2⁵³ on. JSON has no infinity, but a document may have a number that
// SQLite can hold in no other way, and 1e999 reads as that again.
func writeKey(key any) any {
	f, ok := key.(float64)
	switch {
	case !ok:
		return key
	case math.IsInf(f, 0):
		return json.Number(strconv.FormatFloat(math.Copysign(1, f), 'f', 0, 64) + "e999")
	}
	return json.Number(strconv.FormatFloat(f, 'e', -1, 64))
}

// readKey gives a key as SQLite gave it: a text, a number or nil, whatever the column's
// kind. Where the type of a member was changed, older documents have the old one.
func readKey(value any) (any, error) {
	switch v := value.(type) {
	case nil, string:
		return v, nil
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		f, err := v.Float64()
		if math.IsInf(f, 0) {
			err = nil
		}
		return f, err
	}
	return nil, errors.New("not a sort key")
}
