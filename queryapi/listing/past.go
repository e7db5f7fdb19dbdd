package listing

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/query"
)

// At is the query parameter that asks for a list as it was at a position or time. It hides the filter
// for equality of a member with this name.
const At = "at"

// A Past is what a client asks of a list at an earlier moment. Its entities are in the order of ids.
type Past struct {
	// At is the value of the parameter.
	At string
	// After is the cursor of the previous page, or nil.
	After   *PastCursor
	Filters []query.Filter
	Fields  []string
	Limit   int // never zero
}

// A PastCursor is the end of a page of a list at a position. All pages are of the same position.
type PastCursor struct {
	Collection string          `json:"c"`
	At         events.Position `json:"at"`
	ID         string          `json:"i"`
}

// Encode returns the cursor as clients get it.
func (p PastCursor) Encode() string {
	b, err := json.Marshal(p)
	if err != nil { // texts and a number can always be marshalled
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// PastParameters returns the names of the query parameters of a list at an earlier moment.
func (v *Vocabulary) PastParameters() []string {
	return append([]string{At, "limit", "after", "fields", "sort"}, v.FilterNames(nil)...)
}

// ParsePast reads a query string that contains only names in [Vocabulary.PastParameters], each once.
// The error is a problem.
func (v *Vocabulary) ParsePast(values url.Values) (p Past, err error) {
	p = Past{At: values.Get(At), Limit: DefaultLimit}
	if values.Has("sort") && values.Get("sort") != "id" {
		return p, malformed("With at, lists can only be sorted by id.")
	}
	if values.Has("limit") {
		if p.Limit, err = parseLimit(values.Get("limit")); err != nil {
			return p, err
		}
	}
	if values.Has("fields") {
		if p.Fields, err = v.parseFields(values.Get("fields")); err != nil {
			return p, err
		}
	}
	if values.Has("after") {
		if p.After, err = v.decodePast(values.Get("after")); err != nil {
			return p, err
		}
	}
	p.Filters, err = v.ParseFilters(values, []string{At, "limit", "after", "fields", "sort"})
	return p, err
}

func (v *Vocabulary) decodePast(text string) (*PastCursor, error) {
	bad := malformed("after must be a cursor from a Link field of this list, with the same at.")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, bad
	}
	var c PastCursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || c.Collection != v.collection || c.At < 0 || !events.ValidID(c.ID) {
		return nil, bad
	}
	return &c, nil
}
