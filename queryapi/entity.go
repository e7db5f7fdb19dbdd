package queryapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/problem"
	"github.com/clusterlite/clusterlite/service/web"
)

// get answers GET and HEAD of one entity.
func (a *API) get(c echo.Context) error {
	collection, err := a.collection(c)
	if err != nil {
		return err
	}
	if _, err := web.Accepts(c.Request(), api.JSON); err != nil {
		return err
	}
	if err := api.RefuseUnknownParameters(c.Request()); err != nil {
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
	h := c.Response().Header()
	api.SetPosition(h, int64(at))
	if !found || e.Deleted {
		return noEntity()
	}
	etag := api.ETag(e.Version)
	h.Set("ETag", etag)
	if updated, err := time.Parse(events.TimeFormat, e.UpdatedAt); err == nil {
		h.Set("Last-Modified", updated.Format(http.TimeFormat))
	}
	has, err := api.NoneMatch(c.Request(), etag)
	if err != nil {
		return err
	}
	if has {
		return c.NoContent(http.StatusNotModified)
	}
	return write(c, e.Rendered)
}

func noEntity() error { return problem.NotFound.New("There is no entity with this id.") }

// write answers with JSON that is ready.
func write(c echo.Context, body []byte) error {
	if err := web.TakeMemory(c, len(body)); err != nil {
		return err
	}
	return web.Answer(c, http.StatusOK, api.JSON, body)
}
