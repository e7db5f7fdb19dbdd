package queryapi

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/queryapi/listing"
	"github.com/clusterlite/clusterlite/queryapi/pastlist"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

const (
	// defaultVersions and maxVersions are the numbers of versions in one page.
	defaultVersions = 50
	maxVersions     = 1000
)

// A past is an entity's history in the journal of this node.
type past struct {
	*journal.Journal
	*viewer
	collection, id string
	reader         access.Reader
}

// past makes the model fresh and opens the history of the entity that the path names. The caller
// calls release. The error is a problem.
func (a *API) past(c echo.Context, parameters ...string) (h past, release func(), err error) {
	collection, err := a.collection(c)
	if err != nil {
		return h, nil, err
	}
	h = past{viewer: a.viewer(c), collection: collection.Name(), id: c.Param("id")}
	if h.reader, _ = h.viewer.reader(h.collection); h.reader.Barred() {
		return h, nil, noEntity(c, h.reader)
	}
	if err := contract.RejectUnknownParameters(c.Request(), parameters...); err != nil {
		return h, nil, err
	}
	if err := a.makeFresh(c); err != nil {
		return h, nil, err
	}
	if !events.ValidID(h.id) {
		return h, nil, noVersion()
	}
	contract.SetPosition(c.Response().Header(), int64(a.Model.Position()))
	if h.Journal, release, err = a.Model.Journal(); err != nil {
		return h, nil, changes.Unreadable(err)
	}
	return h, release, nil
}

// versions handles GET and HEAD of the versions of an entity: its events, newest first.
func (a *API) versions(c echo.Context) error {
	h, release, err := a.past(c, "limit", "before")
	if err != nil {
		return err
	}
	defer release()
	limit, err := numberIn(c, "limit", defaultVersions, 1, maxVersions)
	if err != nil {
		return err
	}
	before, err := numberIn(c, "before", 0, 1, 1<<53)
	if err != nil {
		return err
	}
	e, err := h.newestBefore(int64(before))
	if err != nil {
		return h.missing(err)
	}
	body := []byte{'['}
	// Names of clients can be addresses of people, so they are not for every reader of the entity.
	withActor := h.who.Has(caller.RoleAdmin)
	for n := 0; ; {
		if n == limit {
			web.SetField(c, "Link", "</"+h.collection+"/"+h.id+"/versions?before="+strconv.FormatInt(e.Event.Version+1, 10)+"&limit="+strconv.Itoa(limit)+`>; rel="next"`)
			break
		}
		if h.sees(&e) {
			if n > 0 {
				body = append(body, ',')
			}
			if !withActor {
				body = changes.Append(body, &e)
			} else if body, err = changes.AppendWithActor(body, &e); err != nil {
				return err
			}
			n++
		}
		if e.Previous == 0 {
			break
		}
		if err := c.Request().Context().Err(); err != nil {
			return problem.NotReady.Because(err, "The client cancelled the request.")
		}
		if e, err = h.At(e.Previous); err != nil {
			return h.missing(err)
		}
	}
	if e.Previous == 0 && e.Event.Version > 1 {
		return h.missing(journal.ErrNotHeld)
	}
	if len(body) == 1 {
		return noVersion() // an entity of which the caller may see no version is like one that does not exist
	}
	return write(c, append(body, ']'))
}

// newestBefore returns the newest version, or the newest before one.
func (h past) newestBefore(version int64) (journal.Entry, error) {
	newest, err := h.Newest(h.collection, h.id, h.End())
	if err != nil || version == 0 || newest.Event.Version < version {
		return newest, err
	}
	return h.Version(h.collection, h.id, version-1)
}

// version handles GET and HEAD of one version of an entity.
func (a *API) version(c echo.Context) error {
	h, release, err := a.past(c)
	if err != nil {
		return err
	}
	defer release()
	n, err := strconv.ParseInt(c.Param("version"), 10, 64)
	if err != nil || n < 1 {
		return problem.NotFound.New("The version in the path must be an integer of at least 1.")
	}
	e, err := h.Version(h.collection, h.id, n)
	if err != nil {
		return h.missing(err)
	}
	return a.writePast(c, h, &e)
}

// getAt handles GET and HEAD of an entity as it was at a position or time.
func (a *API) getAt(c echo.Context) error {
	h, release, err := a.past(c, "at")
	if err != nil {
		return err
	}
	defer release()
	at, err := a.moment(c.Request().Context(), h.Journal, c.QueryParam("at"))
	if err != nil {
		return err
	}
	contract.SetPosition(c.Response().Header(), int64(at))
	e, err := h.Newest(h.collection, h.id, at)
	if err != nil {
		return h.missing(err)
	}
	return a.writePast(c, h, &e)
}

// moment returns the position that the parameter at names. The error is a problem.
func (a *API) moment(ctx context.Context, j *journal.Journal, text string) (events.Position, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		ctx, cancel := context.WithTimeout(ctx, a.Wait)
		defer cancel()
		return events.Position(n), a.waitFor(ctx, events.Position(n))
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, problem.MalformedRequest.New("at must be a position, or a time such as 2026-11-24T14:05:00Z.")
	}
	at, err := j.Until(t)
	if err != nil {
		return 0, changes.Unreadable(err)
	}
	return at, nil
}

// writePast sends the entity as an event left it. The caller's rule for events applies.
func (a *API) writePast(c echo.Context, h past, e *journal.Entry) error {
	if !h.sees(e) {
		return noVersion()
	}
	if e.Event.Kind == events.Deleted {
		return problem.NotFound.New("The entity was deleted by then, with version " + strconv.FormatInt(e.Event.Version, 10) + ".")
	}
	body, err := h.Render(e)
	if err != nil {
		return h.missing(err)
	}
	etag := contract.ETag(e.Event.Version)
	web.SetField(c, "Etag", etag)
	has, err := contract.NoneMatch(c.Request(), etag)
	if err != nil {
		return err
	}
	if has {
		return web.NotModified(c, len(body))
	}
	return write(c, body)
}

// noVersion returns the response for a version that does not exist, or that the caller may not see.
func noVersion() error {
	return problem.NotFound.New("No entity has this id, or it had no such version by then.")
}

const (
	// maxPastLists is how many lists of the past a node reads at a time, and pastListTime how long
	// each may take. The proxy waits for a response for ten seconds.
	maxPastLists = 2
	pastListTime = 8 * time.Second
)

// asksForPast reports whether a request for a list asks for an earlier moment.
func asksForPast(c echo.Context) bool {
	return strings.Contains(c.Request().URL.RawQuery, listing.At+"=") && c.QueryParams().Has(listing.At)
}

// listAt handles GET and HEAD of a collection as it was at a position or time, in the order of ids.
// The caller may read at least a part of the collection.
func (a *API) listAt(c echo.Context, collection *collections.Collection) error {
	if _, err := negotiation.Accepts(c.Request(), contract.JSON); err != nil {
		return err
	}
	words := a.vocabulary(collection)
	if c.QueryParams().Has("count") {
		return problem.MalformedRequest.New("count is not available with at.")
	}
	if err := contract.RejectUnknownParameters(c.Request(), words.PastParameters()...); err != nil {
		return err
	}
	asked, err := words.ParsePast(c.QueryParams())
	if err != nil {
		return err
	}
	if err := a.makeFresh(c); err != nil {
		return err
	}
	if a.pastLists.Add(1) > maxPastLists {
		a.pastLists.Add(-1)
		return problem.Overloaded.New("The node is reading the maximum number of lists of the past. Retry later.")
	}
	defer a.pastLists.Add(-1)
	j, release, err := a.Model.Journal()
	if err != nil {
		return changes.Unreadable(err)
	}
	defer release()
	at, err := a.pastPosition(c, j, asked)
	if err != nil {
		return err
	}
	p, err := a.pastPage(c, j, collection, asked, at)
	if err != nil {
		return err
	}
	return p.answer(c, at)
}

// pastPosition returns the position of a list. The pages after the first are of the same position as
// the first. The error is a problem.
func (a *API) pastPosition(c echo.Context, j *journal.Journal, asked listing.Past) (events.Position, error) {
	n, err := strconv.ParseInt(asked.At, 10, 64)
	if asked.After != nil && (err != nil || events.Position(n) != asked.After.At) {
		return 0, problem.MalformedRequest.New("With after, at must be the position that the Link field has.")
	}
	if given := c.Response().Header().Get(contract.HeaderConsistency); err == nil && given != string(events.Eventual) && events.Position(n) > a.Model.Position() {
		// The model has reached what was the end of the log when the request arrived.
		return 0, problem.MalformedRequest.New("at is beyond the end of the log.")
	}
	return a.moment(c.Request().Context(), j, asked.At)
}

// pastPage reads a page of a list of the past. The error is a problem.
func (a *API) pastPage(c echo.Context, j *journal.Journal, collection *collections.Collection, asked listing.Past, at events.Position) (*page, error) {
	if err := web.ReserveMemory(c, initialPageMemory); err != nil {
		return nil, err
	}
	body, room := []byte{'['}, initialPageMemory
	l := pastlist.List{
		Journal: j, Collection: collection.Name(), At: at, Limit: asked.Limit, Window: a.PastWindow,
		Selection: a.selection(collection, asked.Filters), Visible: a.viewer(c).sees,
		Take: func(bytes int) error { return web.TryReserveMemory(c, bytes) },
		Each: func(rendered []byte) (err error) {
			if len(body) > 1 {
				body = append(body, ',')
			}
			if body, err = appendFields(body, rendered, asked.Fields); err != nil || cap(body) <= room {
				return err
			}
			err = web.TryReserveMemory(c, cap(body)-room)
			room = cap(body)
			return err
		},
	}
	if asked.After != nil {
		l.After = asked.After.ID
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), pastListTime)
	defer cancel()
	last, err := l.Read(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && c.Request().Context().Err() == nil:
		return nil, problem.Overloaded.Because(err, "It takes too long to read this list from the journal. Replay the log into a file to read it there.")
	case err != nil:
		return nil, changes.Unreadable(err)
	}
	p := &page{body: append(body, ']')}
	if last != "" {
		query := c.QueryParams()
		query.Set(listing.At, strconv.FormatInt(int64(at), 10))
		query.Set("limit", strconv.Itoa(asked.Limit))
		query.Set("after", listing.PastCursor{Collection: collection.Name(), At: at, ID: last}.Encode())
		p.link = "</" + collection.Name() + "?" + query.Encode() + `>; rel="next"`
	}
	p.etag = p.contentTag()
	return p, nil
}

// numberIn reads a query parameter. The error is a problem.
func numberIn(c echo.Context, name string, otherwise, low, high int) (int, error) {
	if !c.QueryParams().Has(name) {
		return otherwise, nil
	}
	return contract.Integer(name, c.QueryParam(name), low, high)
}

// getOrPast chooses between the current entity and an earlier one.
func (a *API) getOrPast(c echo.Context) error {
	if c.Request().URL.RawQuery != "" && c.QueryParams().Has("at") {
		return a.getAt(c)
	}
	return a.get(c)
}
