package listing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/clusterlite/clusterlite/projections/query"
)

// ForRows returns the vocabulary of a table or view of a read model in SQL. name identifies it among
// all lists, definition changes with its declaration, and columns are those that it has.
func ForRows(name, definition string, columns []query.Column) *Vocabulary {
	v := &Vocabulary{
		collection: name, Definition: definition, rows: true,
		columns: map[string]query.Column{}, filters: map[string]query.Filter{},
		Parameters: names(),
	}
	for _, column := range columns {
		v.columns[column.Name()] = column
		v.members = append(v.members, column.Name())
		for _, o := range Operators(column.Kind()) {
			if o.Op == query.Present && !column.Nullable() {
				continue
			}
			v.addFilter(FilterName(column.Name(), o), column, o.Op)
		}
	}
	return v
}

// A rowCursor identifies the last row of a page. A row has no id, but a view may have equal rows.
type rowCursor struct {
	List       string `json:"l"`
	Definition string `json:"d"`
	Sort       string `json:"s,omitempty"`
	Keys       []any  `json:"k"`
	// Equal is how many rows with these keys were on the pages so far.
	Equal int `json:"e,omitempty"`
}

// EncodeRowCursor returns the cursor after a row of the list of a vocabulary made by [ForRows].
func (v *Vocabulary) EncodeRowCursor(sort []query.SortKey, keys []any, equal int) string {
	written := make([]any, len(keys))
	for i, key := range keys {
		written[i] = writeKey(key)
	}
	b, err := json.Marshal(rowCursor{v.collection, v.Definition, sortText(sort), written, equal})
	if err != nil { // the keys are scalars from SQLite
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeRowCursor decodes a cursor. Its ID is the number of equal rows. The error is a problem.
func (v *Vocabulary) decodeRowCursor(text string, sort []query.SortKey) (*query.Cursor, error) {
	bad := malformed("after must be a cursor from a Link field of this list, with the same sort.")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, bad
	}
	var c rowCursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || c.List != v.collection || c.Sort != sortText(sort) || len(c.Keys) < len(sort) || c.Equal < 0 {
		return nil, bad
	}
	if c.Definition != v.Definition {
		return nil, malformed("The cursor in after belongs to an earlier definition of the list. Start again from the first page, without after.")
	}
	for i, key := range c.Keys {
		if c.Keys[i], err = readKey(key); err != nil {
			return nil, bad
		}
	}
	return &query.Cursor{Keys: c.Keys, ID: strconv.Itoa(c.Equal)}, nil
}
