package queryapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/problem"
	"github.com/clusterlite/clusterlite/service/web"
)

// list answers GET and HEAD of a collection: a page as a JSON array, or all that match
// as lines of JSON.
func (a *API) list(c echo.Context) error {
	collection, err := a.collection(c)
	if err != nil {
		return err
	}
	media, err := web.Accepts(c.Request(), api.JSON, api.NDJSON)
	if err != nil {
		return err
	}
	words := a.vocabulary(collection)
	if err := api.RefuseUnknownParameters(c.Request(), words.parameters...); err != nil {
		return err
	}
	asked, err := words.parse(c.QueryParams())
	if err != nil {
		return err
	}
	if err := a.makeFresh(c); err != nil {
		return err
	}
	web.AddVary(c.Response().Header(), "Accept")
	if media == api.NDJSON {
		return a.stream(c, collection, asked)
	}
	return a.page(c, collection, asked)
}

func (a *API) page(c echo.Context, collection *collections.Collection, asked listRequest) error {
	if asked.Limit == 0 {
		asked.Limit = defaultLimit
	}
	body, done, err := a.gather(c, collection, asked)
	if done || err != nil {
		return gone(c.Request().Context(), err)
	}
	return web.Answer(c, http.StatusOK, api.JSON, body)
}

// gather reads a page. The snapshot is closed before the page is sent: a client that
// reads slowly must not hold on to it.
func (a *API) gather(c echo.Context, collection *collections.Collection, asked listRequest) (body []byte, done bool, err error) {
	ctx := c.Request().Context()
	// Before there is a snapshot: a list must not hold a connection while it waits for
	// memory.
	if err := web.TakeMemory(c, pieceSize); err != nil {
		return nil, false, err
	}
	s, err := a.Model.Snapshot(ctx)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = s.Close() }() // it only read
	done, err = a.head(c, s, collection, asked, "")
	if done || err != nil {
		return nil, done, err
	}
	body = []byte{'['}
	room := pieceSize // that was taken for it
	next, err := s.List(ctx, collection.Name(), asked.Query, func(rendered []byte) error {
		if len(body) > 1 {
			body = append(body, ',')
		}
		var err error
		if body, err = appendFields(body, rendered, asked.Fields); err != nil || cap(body) <= room {
			return err
		}
		err = web.TakeMoreMemory(c, cap(body)-room)
		room = cap(body)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if next != nil {
		query := c.QueryParams()
		query.Set("limit", strconv.Itoa(asked.Limit))
		query.Set("after", encodeCursor(collection.Name(), asked.Sort, *next))
		c.Response().Header().Set("Link", "</"+collection.Name()+"?"+query.Encode()+`>; rel="next"`)
	}
	return append(body, ']'), false, nil
}

// head sets what lists have in common in their header. done tells that the client has
// what it asks for, and that it was told so.
func (a *API) head(c echo.Context, s *projections.Snapshot, collection *collections.Collection, asked listRequest, variant string) (done bool, err error) {
	h := c.Response().Header()
	api.SetPosition(h, int64(s.At))
	summary, err := s.Summary(c.Request().Context(), collection.Name())
	if err != nil {
		return false, err
	}
	// The digest stands for the rows of this collection alone, on whichever node, topic and
	// position. What a list shows of them depends on the definition too. The tag is weak: it
	// promises the same entities, but not the same bytes in all versions.
	etag := `W/"` + summary.Digest.String()[:32] + "-" + a.vocabulary(collection).definition + variant + `"`
	h.Set("ETag", etag)
	if asked.Count {
		n, err := s.Count(c.Request().Context(), collection.Name(), asked.Query)
		if err != nil {
			return false, err
		}
		h.Set("Total-Count", strconv.FormatInt(n, 10))
	}
	has, err := api.NoneMatch(c.Request(), etag)
	if err != nil || !has {
		return false, err
	}
	return true, web.NotModified(c, int(^uint(0)>>1)) // it may be a long one
}

func appendFields(body, rendered []byte, fields []string) ([]byte, error) {
	if len(fields) == 0 {
		return append(body, rendered...), nil
	}
	selected, err := document.AppendSelected(body, rendered, fields)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return selected, nil
}

// gone makes of an error what it is if the client has given up.
func gone(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return problem.NotReady.Because(ctx.Err(), "The client cancelled the request.")
	case errors.Is(err, projections.ErrBusy):
		return problem.Overloaded.Because(err, "The node is running the maximum number of streams. Retry later.")
	case errors.Is(err, projections.ErrOverloaded):
		return problem.Overloaded.Because(err, "The node is at capacity: too many reads are running. Retry later.")
	}
	return err
}
