package queryapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/fulltext"
	"github.com/clusterlite/clusterlite/projections/modelset"
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
)

// maxHits is the maximum number of matches that a search looks through.
const maxHits = 10_000

// A searchRequest is what a client asks of the full-text search.
type searchRequest struct {
	listing.Request
	expression string
	highlight  bool
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
	if err := web.TakeMemory(c, initialPageMemory); err != nil {
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
	if err := contract.RejectUnknownParameters(r, searchFor, searchHighlight, "limit", "fields", "count"); err != nil {
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

	tx   *sqlmodel.Tx
	body []byte
	seen int64 // matching entities that the caller may read
	room int   // memory that was taken, in bytes
}

// errEnoughHits ends a search whose page is full.
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
	for i, hit := range hits {
		if i == maxHits {
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
		p.count = strconv.FormatInt(f.seen, 10)
	}
	return p, tx.At, nil
}

// add adds an entity, if the caller may read it. The rule applies to the entity as it is. If that is
// not the version that matched, a caller who may not read everything does not get it: that it matched
// would say something about a version that the caller may not have been allowed to read.
func (f *finder) add(ctx context.Context, hit fulltext.Hit) error {
	full := f.seen >= int64(f.asked.Limit)
	if full && !f.asked.Count {
		return errEnoughHits
	}
	e, found, _, err := f.api.Model.Entity(ctx, f.collection.Name(), hit.ID)
	if err != nil {
		return err
	}
	same := e.Version == hit.Version
	if !found || e.Deleted || f.restricted && (!same || !f.reader.Allows(e.Rendered)) {
		return nil
	}
	if f.seen++; full {
		return nil
	}
	if len(f.body) > 1 {
		f.body = append(f.body, ',')
	}
	if f.body, err = appendFields(f.body, e.Rendered, f.asked.Fields); err != nil {
		return err
	}
	if f.asked.highlight && same {
		if err := f.highlight(ctx, hit.ID); err != nil {
			return err
		}
	}
	if cap(f.body) <= f.room {
		return nil
	}
	err = web.TakeMoreMemory(f.c, cap(f.body)-f.room)
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
