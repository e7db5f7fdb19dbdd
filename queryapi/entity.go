package queryapi

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// get handles GET and HEAD of an entity.
func (a *API) get(c echo.Context) error {
	collection, err := a.collection(c)
	if err != nil {
		return err
	}
	reader := a.Access.Of(collection.Name()).Reader(caller.Of(c.Request().Context()))
	if _, err := negotiation.Accepts(c.Request(), contract.JSON); err != nil {
		return err
	}
	if err := contract.RejectUnknownParameters(c.Request()); err != nil {
		return err
	}
	if err := a.makeFresh(c); err != nil {
		return err
	}
	id := c.Param("id")
	if !events.ValidID(id) {
		return noEntity(c, reader)
	}
	e, found, at, err := a.Model.Entity(c.Request().Context(), collection.Name(), id)
	if err != nil {
		return gone(c.Request().Context(), err)
	}
	web.SetField(c, contract.HeaderPosition, strconv.FormatInt(int64(at), 10))
	if !found || e.Deleted {
		return noEntity(c, reader)
	}
	if !reader.Allows(e.Rendered) {
		// An entity that the caller may not read is like one that does not exist, also in the time
		// that the response takes.
		if e.Cached {
			if err := a.Model.ReadAsMissing(c.Request().Context(), collection.Name(), id); err != nil {
				return gone(c.Request().Context(), err)
			}
		}
		return noEntity(c, reader)
	}
	done, err := a.conditions(c, e)
	if done || err != nil {
		return err
	}
	return write(c, e.Rendered)
}

// noEntity returns the response for an entity that does not exist, or that the caller may not
// read. It does not depend on which of them is the case.
func noEntity(c echo.Context, reader access.Reader) error {
	if reader.Barred() {
		delete(c.Response().Header(), contract.HeaderPosition)
		return access.Denied(caller.Of(c.Request().Context()))
	}
	return problem.NotFound.New("No entity has this id.")
}

// write sends a JSON body that is ready.
func write(c echo.Context, body []byte) error {
	if err := web.ReserveMemory(c, len(body)); err != nil {
		return err
	}
	return web.Answer(c, http.StatusOK, contract.JSON, body)
}
