package queryapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/fulltext"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// The parameters of a search. The others are those of lists.
const (
	searchFor       = "q"
	searchHighlight = "highlight"
	searchAfter     = "after"
)

// maxHits is the maximum number of matches that a search looks through.
const maxHits = 10_000

// A searchRequest is what a client asks of the full-text search.
type searchRequest struct {
	listing.Request
	expression string
	highlight  bool
	after      *listing.SearchCursor // nil for the first page
}

// search handles GET and HEAD of a collection with the parameter q. It returns the entities that
// match, the best first.
func (a *API) search(c echo.Context, collection *collections.Collection) error {
	who := caller.Of(c.Request().Context())
	policy := a.Access.Of(collection.Name())
	scope := policy.Reading(who)
	if scope.Nothing() {
		return access.Denied(who)
	}
	if _, err := negotiation.Accepts(c.Request(), contract.JSON); err != nil {
		return err
	}
	asked, err := a.parseSearch(c.Request(), c.QueryParams(), collection)
	if err != nil {
		return err
	}
	m, known := a.searchModel(collection)
	if !known {
		return problem.SearchUnavailable.New("This node has no full-text search, because it keeps no journal of events, or because it was built without FTS5. Its log says which.")
	}
	given, err := a.freshenModel(c.Request(), m)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h[contract.HeaderConsistency] = consistencyFields[given]
	h["Cache-Control"] = noCache
	if err := web.ReserveMemory(c, initialPageMemory); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), modelPageTimeout)
	defer cancel()
	f := finder{api: a, c: c, collection: collection, asked: asked, reader: policy.Reader(who), restricted: !scope.Everything()}
	found, at, err := f.find(ctx, m)
	if err != nil {
		return modelProblem(c.Request().Context(), gone(c.Request().Context(), err))
	}
	found.etag = found.contentTag()
	return found.answer(c, at)
}

func (a *API) searchModel(collection *collections.Collection) (*modelset.Model, bool) {
	if a.Models == nil {
		return nil, false
	}
	return a.Models.Get(fulltext.Name(collection.Name()))
}

// parseSearch reads the parameters. The error is a problem.
func (a *API) parseSearch(r *http.Request, values url.Values, collection *collections.Collection) (asked searchRequest, err error) {
	if len(collection.Searched()) == 0 {
		return asked, problem.MalformedRequest.New(fmt.Sprintf("The collection %s has no full-text search: none of its properties is declared with x-search.", collection.Name()))
	}
	if err := contract.RejectUnknownParameters(r, searchFor, searchHighlight, searchAfter, "limit", "fields", "count"); err != nil {
		return asked, err
	}
	of := url.Values{}
	for _, name := range []string{"limit", "fields", "count"} {
		if values.Has(name) {
			of[name] = values[name]
		}
	}
	if asked.Request, err = a.vocabulary(collection).Parse(of); err != nil {
		return asked, err
	}
	if asked.Limit == 0 {
		asked.Limit = listing.DefaultLimit
	}
	if asked.expression, err = fulltext.Expression(values.Get(searchFor)); err != nil {
		return asked, problem.MalformedRequest.New("q must have at least one word to search for.")
	}
	if values.Has(searchAfter) {
		after, err := listing.DecodeSearchCursor(values.Get(searchAfter), collection.Name(), asked.expression)
		if err != nil {
			return asked, err
		}
		asked.after = &after
	}
	switch values.Get(searchHighlight) {
	case "true":
		asked.highlight = true
	case "false", "":
	default:
		return asked, problem.MalformedRequest.New("highlight must be true or false.")
	}
	return asked, nil
}

// A finder reads the entities that match, for one request.
type finder struct {
	api        *API
	c          echo.Context
	collection *collections.Collection
	asked      searchRequest
	reader     access.Reader
	restricted bool // the caller may not read all entities

	tx    *sqlmodel.Tx
	body  []byte
	seen  int    // matching entities that the caller may read, up to where the search has come
	skip  int    // how many of them were on the pages before
	given int    // how many are on this page
	last  string // the id of the last one
	more  bool   // there are others after the page
	room  int    // memory that was taken, in bytes
}

// errEnoughHits ends a search once it is known whether there is another page.
var errEnoughHits = errors.New("the page is full")

// find reads the page. It ends the transaction before the page is sent.
func (f *finder) find(ctx context.Context, m *modelset.Model) (*page, events.Position, error) {
	tx, release, err := m.Begin(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	defer func() { _ = tx.Close() }() // it only read
	f.tx, f.body, f.room = tx, []byte{'['}, initialPageMemory
	var hits []fulltext.Hit
	if err := fulltext.Hits(ctx, tx, f.asked.expression, maxHits+1, func(h fulltext.Hit) error {
		hits = append(hits, h)
		return nil
	}); err != nil {
		return nil, 0, err
	}
	start, err := f.begin(ctx, hits)
	if err != nil {
		return nil, 0, err
	}
	for i, hit := range hits[start:] {
		if start+i == maxHits {
			return nil, 0, problem.MalformedRequest.New(fmt.Sprintf("More than %d entities match. Search for more words.", maxHits))
		}
		if err := f.add(ctx, hit); errors.Is(err, errEnoughHits) {
			break
		} else if err != nil {
			return nil, 0, err
		}
	}
	p := &page{body: append(f.body, ']')}
	if f.asked.Count {
		p.count = strconv.Itoa(f.seen)
	}
	if f.more {
		query := f.c.QueryParams()
		query.Set("limit", strconv.Itoa(f.asked.Limit))
		query.Set(searchAfter, listing.EncodeSearchCursor(f.collection.Name(), f.asked.expression, listing.SearchCursor{ID: f.last, Seen: f.skip + f.given}))
		p.link = "</" + f.collection.Name() + "?" + query.Encode() + `>; rel="next"`
	}
	return p, tx.At, nil
}

// begin finds where the page begins: after the last entity of the page before, wherever it is now. If that
// one does not match any longer, the page begins after as many entities as the pages before had without it. So
// it does if the caller may not read the entity: a cursor that names it must not show whether it matches.
func (f *finder) begin(ctx context.Context, hits []fulltext.Hit) (start int, err error) {
	after := f.asked.after
	if after == nil {
		return 0, nil
	}
	f.skip = after.Seen - 1
	last := slices.IndexFunc(hits, func(h fulltext.Hit) bool { return h.ID == after.ID })
	if last < 0 {
		return 0, nil
	}
	if _, shown, err := f.read(ctx, hits[last]); !shown || err != nil {
		return 0, err
	}
	for _, hit := range hits[:last+1] {
		_, shown, err := f.read(ctx, hit)
		if err != nil {
			return 0, err
		}
		if shown {
			f.seen++
		}
	}
	f.skip = f.seen
	return last + 1, nil
}

// read reads an entity. shown reports whether the caller may read it. The rule applies to the entity as it
// is. If that is not the version that matched, a caller who may not read everything does not get it: that it
// matched would say something about a version that the caller may not have been allowed to read.
func (f *finder) read(ctx context.Context, hit fulltext.Hit) (e reads.Entity, shown bool, err error) {
	e, found, _, err := f.api.Model.Entity(ctx, f.collection.Name(), hit.ID)
	if err != nil || !found || e.Deleted {
		return e, false, err
	}
	return e, !f.restricted || e.Version == hit.Version && f.reader.Allows(e.Rendered), nil
}

// add adds an entity to the page, if the caller may read it and it belongs there.
func (f *finder) add(ctx context.Context, hit fulltext.Hit) error {
	e, shown, err := f.read(ctx, hit)
	if !shown || err != nil {
		return err
	}
	switch f.seen++; {
	case f.seen <= f.skip:
		return nil
	case f.given == f.asked.Limit:
		if f.more = true; f.asked.Count {
			return nil
		}
		return errEnoughHits
	}
	f.given, f.last = f.given+1, hit.ID
	if len(f.body) > 1 {
		f.body = append(f.body, ',')
	}
	if f.body, err = appendFields(f.body, e.Rendered, f.asked.Fields); err != nil {
		return err
	}
	if f.asked.highlight && e.Version == hit.Version {
		if err := f.highlight(ctx, hit.ID); err != nil {
			return err
		}
	}
	if cap(f.body) <= f.room {
		return nil
	}
	err = web.TryReserveMemory(f.c, cap(f.body)-f.room)
	f.room = cap(f.body)
	return err
}

// highlight appends the member _highlights to the entity at the end of the body.
func (f *finder) highlight(ctx context.Context, id string) error {
	snippets, err := fulltext.Snippets(ctx, f.tx, f.asked.expression, id)
	if err != nil {
		return err
	}
	text, err := json.Marshal(snippets)
	if err != nil {
		return err
	}
	f.body = f.body[:len(f.body)-1] // the closing brace
	if f.body[len(f.body)-1] != '{' {
		f.body = append(f.body, ',')
	}
	f.body = append(append(append(f.body, `"_highlights":`...), text...), '}')
	return nil
}
