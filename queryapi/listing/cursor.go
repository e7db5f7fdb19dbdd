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

// A cursor identifies the last entity of a page, and the list that it belongs to. For clients it
// is opaque. Nothing in it is trusted.
type cursor struct {
	// Collection and Sort identify the list. Types has a letter for the type of each sort column:
	// if the type of a member changes, its values sort differently.
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
	if err != nil { // the keys are scalars from SQLite
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

// typeLetters identify types in cursors. Cursors outlive the process that makes them.
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

// decodeCursor decodes a cursor for a list with this sort. The error is a problem.
func (v *Vocabulary) decodeCursor(text string, sort []query.SortKey) (*query.Cursor, error) {
	if v.rows {
		return v.decodeRowCursor(text, sort)
	}
	return decodeCursor(text, v.collection, sort)
}

// decodeCursor decodes a cursor for a list of a collection with this sort. The error is a
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
		keys = len(sort) // otherwise the id replaces all keys from the id on
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

// writeKey encodes a key as JSON. A floating-point number gets an exponent, so that it is decoded
// as a floating-point number again: from 2⁵³ on, its shortest digits are not those of the same
// integer. JSON has no infinity, but SQLite stores very large numbers of documents as infinity.
// It becomes 1e999, which is decoded as infinity.
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

// readKey decodes a key to the type that SQLite gave: a string, a number or nil. It does not
// depend on the type of the column, because older documents have values of older types.
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
