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
	policy, who := a.Access.Of(collection.Name()), caller.Of(c.Request().Context())
	if policy.Excludes(access.Read, who) {
		return access.Denied(who)
	}
	if _, err := negotiation.Accepts(c.Request(), contract.JSON); err != nil {
		return err
	}
	if err := contract.RefuseUnknownParameters(c.Request()); err != nil {
		return err
	}
	if err := a.makeFresh(c); err != nil {
		return err
	}
	id := c.Param("id")
	if !events.ValidID(id) {
		return noEntity()
	}
	e, found, at, err := a.Model.Entity(c.Request().Context(), collection.Name(), id)
	if err != nil {
		return gone(c.Request().Context(), err)
	}
	web.SetField(c, contract.HeaderPosition, strconv.FormatInt(int64(at), 10))
	if !found || e.Deleted || !policy.MayRead(who, e.Rendered) {
		return noEntity() // an entity that the caller may not read is like one that does not exist
	}
	done, err := a.conditions(c, e)
	if done || err != nil {
		return err
	}
	return write(c, e.Rendered)
}

func noEntity() error { return problem.NotFound.New("No entity has this id.") }

// write sends a JSON body that is ready.
func write(c echo.Context, body []byte) error {
	if err := web.TakeMemory(c, len(body)); err != nil {
		return err
	}
	return web.Answer(c, http.StatusOK, contract.JSON, body)
}
