package queryapi

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/problem"
)

const (
	defaultLimit = 100
	maxLimit     = 10_000
)

// list answers GET and HEAD of a collection: a page in the order of ids, which is that
// of creation.
func (a *API) list(c echo.Context) error {
	collection, err := a.begin(c)
	if err != nil {
		return err
	}
	if err := api.RefuseUnknownParameters(c.Request(), "limit", "after"); err != nil {
		return err
	}
	page, err := parsePage(c.QueryParams())
	if err != nil {
		return err
	}
	listing, err := a.Model.List(c.Request().Context(), collection.Name(), page)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	api.SetPosition(h, int64(listing.At))
	if listing.More {
		next := url.Values{"limit": {strconv.Itoa(page.Limit)}, "after": {encodeCursor(listing.Last)}}
		h.Set("Link", "</"+collection.Name()+"?"+next.Encode()+`>; rel="next"`)
	}
	return write(c, array(listing.Rendered))
}

func parsePage(query url.Values) (projections.Page, error) {
	page := projections.Page{Limit: defaultLimit}
	if query.Has("limit") {
		limit, err := strconv.Atoi(query.Get("limit"))
		if err != nil || limit < 1 || limit > maxLimit {
			return page, problem.MalformedRequest.New(fmt.Sprintf("limit must be an integer from 1 to %d.", maxLimit))
		}
		page.Limit = limit
	}
	if query.Has("after") {
		id, ok := decodeCursor(query.Get("after"))
		if !ok {
			return page, problem.MalformedRequest.New("after must be a cursor from a Link of this list.")
		}
		page.After = id
	}
	return page, nil
}

// cursorPrefix is the form that a cursor has; another one will have another.
const cursorPrefix = "id:"

func encodeCursor(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorPrefix + id))
}

func decodeCursor(cursor string) (id string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	id, prefixed := strings.CutPrefix(string(b), cursorPrefix)
	return id, err == nil && prefixed && events.ValidID(id)
}

// array joins rendered entities; of none it is [], never null.
func array(rendered [][]byte) []byte {
	size := 2
	for _, r := range rendered {
		size += len(r) + 1
	}
	b := append(make([]byte, 0, size), '[')
	for i, r := range rendered {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r...)
	}
	return append(b, ']')
}
