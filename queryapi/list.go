package queryapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// list handles GET and HEAD of a collection. It returns a page as a JSON array, or all matching
// entities as lines of JSON.
func (a *API) list(c echo.Context) error {
	collection, err := a.collection(c)
	if err != nil {
		return err
	}
	if c.Request().URL.RawQuery != "" && c.QueryParams().Has(searchFor) {
		return a.search(c, collection)
	}
	who := caller.Of(c.Request().Context())
	scope := a.Access.Of(collection.Name()).Reading(who)
	if scope.Nothing() {
		return access.Denied(who)
	}
	if asksForPast(c) {
		return a.listAt(c, collection)
	}
	media, err := negotiation.Accepts(c.Request(), contract.JSON, contract.NDJSON)
	if err != nil {
		return err
	}
	words := a.vocabulary(collection)
	if err := contract.RejectUnknownParameters(c.Request(), words.Parameters...); err != nil {
		return err
	}
	asked, err := words.Parse(c.QueryParams())
	if err != nil {
		return err
	}
	asked.Condition = scope.Condition()
	if err := a.makeFresh(c); err != nil {
		return err
	}
	web.AddVary(c.Response().Header(), "Accept")
	if media == contract.NDJSON {
		return a.stream(c, collection, asked)
	}
	return a.page(c, collection, asked, scope)
}

// A page is the response to a list. It is the same for all clients who may read the same
// entities.
type page struct {
	body              []byte
	etag, link, count string // header fields; link and count may be empty
}

// page sends a page, from the cache or from the model.
func (a *API) page(c echo.Context, collection *collections.Collection, asked listing.Request, scope access.Scope) error {
	query := c.Request().URL.RawQuery
	if !scope.Everything() {
		var space [256]byte
		query = string(scope.AppendKey(append(append(space[:0], query...), 0))) // no query string has a zero byte
	}
	known, at, ticket := a.Model.CachedPage(collection.Name(), query)
	if known, ok := known.(*page); ok {
		if err := web.ReserveMemory(c, len(known.body)); err != nil {
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
		a.Model.KeepPage(ticket, at, collection.Name(), query, found, len(found.body)+len(found.link)+len(found.etag)+len(query))
	}
	return found.answer(c, at)
}

// answer sends the page. A page without a body was not read completely, because the client has
// it.
func (p *page) answer(c echo.Context, at events.Position) error {
	contract.SetPosition(c.Response().Header(), int64(at))
	has, err := p.describe(c)
	if err != nil {
		return err
	}
	if has {
		return web.NotModified(c, int(^uint(0)>>1)) // its size is unknown and may be large
	}
	if p.link != "" {
		web.SetField(c, "Link", p.link)
	}
	return web.Answer(c, http.StatusOK, contract.JSON, p.body)
}

// describe sets the header fields that all lists have, and reports whether the client has the
// list already. The error is a problem.
func (p *page) describe(c echo.Context) (has bool, err error) {
	if p.count != "" {
		web.SetField(c, "Total-Count", p.count)
	}
	if p.etag == "" {
		return false, nil
	}
	web.SetField(c, "Etag", p.etag)
	return contract.NoneMatch(c.Request(), p.etag)
}

// initialPageMemory is the memory in bytes that a page takes at first.
const initialPageMemory = 64 << 10

// pages holds buffers for pages that are being read.
var pages = sync.Pool{New: func() any { return new([]byte) }}

// gather reads a page. It closes the snapshot before the page is sent, because a client that
// reads slowly must not occupy it. The page has no body if the client has it already.
func (a *API) gather(c echo.Context, collection *collections.Collection, asked listing.Request) (*page, events.Position, error) {
	ctx := c.Request().Context()
	// Take the memory first. A list must not occupy a connection to SQLite while it waits for
	// memory.
	if err := web.ReserveMemory(c, initialPageMemory); err != nil {
		return nil, 0, err
	}
	s, err := a.Model.BeginRead(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = s.Close() }() // the transaction only reads
	p, err := a.outline(ctx, s, collection, asked, "")
	if err != nil {
		return nil, 0, err
	}
	if p.etag != "" {
		if has, err := contract.NoneMatch(c.Request(), p.etag); has || err != nil {
			return p, s.At, err
		}
	}
	buffer := pages.Get().(*[]byte)
	defer pages.Put(buffer)
	body := append((*buffer)[:0], '[')
	room := initialPageMemory // the memory that was taken
	next, err := s.List(ctx, collection.Name(), asked.Query, func(rendered []byte) error {
		if len(body) > 1 {
			body = append(body, ',')
		}
		var err error
		if body, err = appendFields(body, rendered, asked.Fields); err != nil || cap(body) <= room {
			return err
		}
		err = web.TryReserveMemory(c, cap(body)-room)
		room = cap(body)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	body = append(body, ']')
	if p.body = body; cap(body) <= initialPageMemory {
		*buffer, p.body = body, bytes.Clone(body) // the next page reuses the buffer
	}
	if next != nil {
		query := c.QueryParams()
		query.Set("limit", strconv.Itoa(asked.Limit))
		query.Set("after", listing.EncodeCursor(collection.Name(), asked.Sort, *next))
		p.link = "</" + collection.Name() + "?" + query.Encode() + `>; rel="next"`
	}
	if p.etag == "" {
		p.etag = p.contentTag()
	}
	return p, s.At, nil
}

// contentTag returns the entity tag of a page that shows only what its reader may read. The
// digest of the collection would change with entities that the reader may not read.
func (p *page) contentTag() string {
	sum := sha256.New()
	for _, part := range [][]byte{p.body, []byte(p.link), []byte(p.count)} {
		fmt.Fprintf(sum, "%d ", len(part))
		sum.Write(part)
	}
	return `W/"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`
}

// outline returns a list without its body. The list has no tag if it shows only a part of the
// collection.
func (a *API) outline(ctx context.Context, s *reads.Tx, collection *collections.Collection, asked listing.Request, variant string) (*page, error) {
	p := &page{}
	if asked.Condition == nil {
		if err := a.tag(ctx, s, collection, p, variant); err != nil {
			return nil, err
		}
	}
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

// tag sets the entity tag of a list that shows entities of the whole collection.
func (a *API) tag(ctx context.Context, s *reads.Tx, collection *collections.Collection, p *page, variant string) error {
	summary, err := s.Summary(ctx, collection.Name())
	if err != nil {
		return err
	}
	// The digest identifies the rows of this collection, independent of node, topic and position.
	// What a list shows of them also depends on the definition of the collection. The tag is
	// weak: it promises the same entities, but not the same bytes in all versions.
	p.etag = `W/"` + summary.Digest.String()[:32] + "-" + a.vocabulary(collection).Definition + variant + `"`
	return nil
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

// gone turns an error of a read into a problem. If the client has cancelled the request, the
// problem says so.
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
