package queryapi

import (
	"errors"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/projections/journal"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// A viewer decides which events the caller of one request may see. The rule for reading an entity
// is applied to the entity as the event left it. A deletion leaves nothing, so what counts is the
// entity before it. An event of a collection that is no longer declared is invisible, because no
// rule says who may see it.
//
// A viewer belongs to one request and is not safe for concurrent use.
type viewer struct {
	api     *API
	who     caller.Caller
	readers map[string]access.Reader // by collection, of those that were asked for
}

func (a *API) viewer(c echo.Context) *viewer {
	return &viewer{api: a, who: caller.Of(c.Request().Context()), readers: map[string]access.Reader{}}
}

// visible returns the rule of the change feed for the caller of a request.
func (a *API) visible(c echo.Context, collection string) (rule changes.Rule, all bool) {
	v := a.viewer(c)
	return v.sees, v.seesAll(collection)
}

// seesAll reports whether it is certain that the caller may see every event of a collection, or, if the
// name is empty, of all declared ones.
func (v *viewer) seesAll(collection string) bool {
	if collection != "" {
		reader, declared := v.reader(collection)
		allowed, decided := reader.Decided()
		return declared && decided && allowed
	}
	for _, c := range v.api.Collections.All() {
		if !v.seesAll(c.Name()) {
			return false
		}
	}
	return true
}

// barred reports whether it is certain that the caller may see no event of a collection, or, if the
// name is empty, of any collection.
func (v *viewer) barred(collection string) bool {
	if collection != "" {
		reader, declared := v.reader(collection)
		return !declared || reader.Barred()
	}
	for _, c := range v.api.Collections.All() {
		if !v.barred(c.Name()) {
			return false
		}
	}
	return true
}

func (v *viewer) reader(collection string) (r access.Reader, declared bool) {
	if r, declared = v.readers[collection]; declared {
		return r, true
	}
	if _, declared = v.api.Collections.Get(collection); !declared {
		return r, false
	}
	r = v.api.Access.Of(collection).Reader(v.who)
	v.readers[collection] = r
	return r, true
}

// sees reports whether the caller may see an event.
func (v *viewer) sees(e *journal.Entry) bool {
	reader, declared := v.reader(e.Event.Collection)
	if !declared {
		return false
	}
	if allowed, decided := reader.Decided(); decided {
		return allowed
	}
	j, release, err := v.api.Model.Journal()
	if err != nil {
		return false
	}
	defer release()
	shown, err := j.Shown(e)
	if err != nil {
		return false
	}
	return reader.AllowsVersion(&access.Version{
		ID: shown.Event.EntityID, Version: shown.Event.Version, UpdatedAt: shown.Event.Time, Document: shown.Event.Document,
		CreatedAt: func() (time.Time, error) { return j.Created(shown) },
	})
}

// missing turns an error of the journal into a problem. That this node does not hold an event says
// that the entity exists, so only who may read the newest version gets to know.
func (h past) missing(err error) error {
	if errors.Is(err, journal.ErrNotHeld) {
		if _, decided := h.reader.Decided(); !decided {
			newest, unknown := h.Newest(h.collection, h.id, h.End())
			if unknown != nil || !h.sees(&newest) {
				err = journal.ErrNotFound
			}
		}
	}
	if errors.Is(err, journal.ErrNotFound) {
		return noVersion()
	}
	return changes.Unreadable(err)
}
