package queryapi

import (
	"context"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
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
	if err := contract.RefuseUnknownParameters(c.Request(), parameters...); err != nil {
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
	for n := 0; ; {
		if n == limit {
			web.SetField(c, "Link", "</"+h.collection+"/"+h.id+"/versions?before="+strconv.FormatInt(e.Event.Version+1, 10)+"&limit="+strconv.Itoa(limit)+`>; rel="next"`)
			break
		}
		if h.sees(&e) {
			if n > 0 {
				body = append(body, ',')
			}
			body = changes.Append(body, &e)
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
	body, err := entityAfter(h.Journal, e)
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

// numberIn reads a query parameter. The error is a problem.
func numberIn(c echo.Context, name string, otherwise, low, high int) (int, error) {
	text := c.QueryParam(name)
	if !c.Request().URL.Query().Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, problem.MalformedRequest.New(name + " must be an integer from " + strconv.Itoa(low) + " to " + strconv.Itoa(high) + ".")
	}
	return n, nil
}

// getOrPast chooses between the current entity and an earlier one.
func (a *API) getOrPast(c echo.Context) error {
	if c.Request().URL.RawQuery != "" && c.Request().URL.Query().Has("at") {
		return a.getAt(c)
	}
	return a.get(c)
}
