package queryapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// list answers GET and HEAD of a collection: a page as a JSON array, or all that match
// as lines of JSON.
func (a *API) list(c echo.Context) error {
	collection, err := a.collection(c)
	if err != nil {
		return err
	}
	media, err := negotiation.Accepts(c.Request(), contract.JSON, contract.NDJSON)
	if err != nil {
		return err
	}
	words := a.vocabulary(collection)
	if err := contract.RefuseUnknownParameters(c.Request(), words.Parameters...); err != nil {
		return err
	}
	asked, err := words.Parse(c.QueryParams())
	if err != nil {
		return err
	}
	if err := a.makeFresh(c); err != nil {
		return err
	}
	web.AddVary(c.Response().Header(), "Accept")
	if media == contract.NDJSON {
		return a.stream(c, collection, asked)
	}
	return a.page(c, collection, asked)
}

// A page is what a list answers, whoever asks for it.
type page struct {
	body              []byte
	etag, link, count string // fields of the header; link and count may be empty
}

// page answers with a page: one that is known already, or one that it reads.
func (a *API) page(c echo.Context, collection *collections.Collection, asked listing.Request) error {
	query := c.Request().URL.RawQuery
	known, at, ticket := a.Model.CachedPage(collection.Name(), query)
	if known, ok := known.(*page); ok {
		if err := web.TakeMemory(c, len(known.body)); err != nil {
			return err
		}
		return known.answer(c, at)
	}
	if asked.Limit == 0 {
		asked.Limit = listing.DefaultLimit
	}
	found, at, err := a.gather(c, collection, asked)
	if err != nil {
		return gone(c.Request().Context(), err)
	}
	if found.body != nil {
		a.Model.KeepPage(ticket, at, collection.Name(), query, found, len(found.body)+len(found.link)+len(found.etag))
	}
	return found.answer(c, at)
}

// answer answers with the page at a position. A page that was not read to its end has no
// body: the client has what it asks for.
func (p *page) answer(c echo.Context, at events.Position) error {
	contract.SetPosition(c.Response().Header(), int64(at))
	has, err := p.describe(c)
	if err != nil {
		return err
	}
	if has {
		return web.NotModified(c, int(^uint(0)>>1)) // it may be a long one
	}
	if p.link != "" {
		web.SetField(c, "Link", p.link)
	}
	return web.Answer(c, http.StatusOK, contract.JSON, p.body)
}

// describe sets what lists have in common in their header, and tells whether the client has
// what it asks for. The error is a problem.
func (p *page) describe(c echo.Context) (has bool, err error) {
	web.SetField(c, "Etag", p.etag)
	if p.count != "" {
		web.SetField(c, "Total-Count", p.count)
	}
	return contract.NoneMatch(c.Request(), p.etag)
}

// pages are buffers to gather pages in.
var pages = sync.Pool{New: func() any { return new([]byte) }}

// gather reads a page. The snapshot is closed before the page is sent: a client that
// reads slowly must not hold on to it. There is no body if the client has the page.
func (a *API) gather(c echo.Context, collection *collections.Collection, asked listing.Request) (*page, events.Position, error) {
	ctx := c.Request().Context()
	// Before there is a snapshot: a list must not hold a connection while it waits for
	// memory.
	if err := web.TakeMemory(c, pieceSize); err != nil {
		return nil, 0, err
	}
	s, err := a.Model.BeginRead(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = s.Close() }() // it only read
	p, err := a.outline(ctx, s, collection, asked, "")
	if err != nil {
		return nil, 0, err
	}
	if has, err := contract.NoneMatch(c.Request(), p.etag); has || err != nil {
		return p, s.At, err
	}
	buffer := pages.Get().(*[]byte)
	defer pages.Put(buffer)
	body := append((*buffer)[:0], '[')
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
		return nil, 0, err
	}
	body = append(body, ']')
	if p.body = body; cap(body) <= pieceSize {
		*buffer, p.body = body, bytes.Clone(body) // the next page goes into the same buffer
	}
	if next != nil {
		query := c.QueryParams()
		query.Set("limit", strconv.Itoa(asked.Limit))
		query.Set("after", listing.EncodeCursor(collection.Name(), asked.Sort, *next))
		p.link = "</" + collection.Name() + "?" + query.Encode() + `>; rel="next"`
	}
	return p, s.At, nil
}

// outline gives a list without its body.
func (a *API) outline(ctx context.Context, s *reads.Tx, collection *collections.Collection, asked listing.Request, variant string) (*page, error) {
	summary, err := s.Summary(ctx, collection.Name())
	if err != nil {
		return nil, err
	}
	// The digest stands for the rows of this collection alone, on whichever node, topic and
	// position. What a list shows of them depends on the definition too. The tag is weak: it
	// promises the same entities, but not the same bytes in all versions.
	p := &page{etag: `W/"` + summary.Digest.String()[:32] + "-" + a.vocabulary(collection).Definition + variant + `"`}
	if !asked.Count {
		return p, nil
	}
	n, err := s.Count(ctx, collection.Name(), asked.Query)
	if err != nil {
		return nil, err
	}
	p.count = strconv.FormatInt(n, 10)
	return p, nil
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
