package listing

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"

	"github.com/clusterlite/clusterlite/events"
)

// A SearchCursor is where a page of a full-text search ends. It has no rank, because ranks depend on
// entities that a caller may not be allowed to read.
type SearchCursor struct {
	// ID is the last entity of the page.
	ID string
	// Seen is the number of entities on this page and those before it.
	Seen int
}

type searchCursor struct {
	Collection string `json:"c"`
	Query      string `json:"q"` // a hash of the expression
	ID         string `json:"i"`
	Seen       int    `json:"n"`
}

func hashOf(expression string) string {
	sum := sha256.Sum256([]byte(expression))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// EncodeSearchCursor returns the cursor as clients get it.
func EncodeSearchCursor(collection, expression string, at SearchCursor) string {
	b, err := json.Marshal(searchCursor{collection, hashOf(expression), at.ID, at.Seen})
	if err != nil { // texts and numbers can always be encoded
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// DecodeSearchCursor decodes a cursor of the search for an expression. The error is a problem.
func DecodeSearchCursor(text, collection, expression string) (at SearchCursor, err error) {
	bad := malformed("after must be a cursor from a Link field of this search, with the same q.")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return at, bad
	}
	var c searchCursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || c.Collection != collection || c.Query != hashOf(expression) || !events.ValidID(c.ID) || c.Seen < 1 {
		return at, bad
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return at, bad
	}
	return SearchCursor{c.ID, c.Seen}, nil
}
