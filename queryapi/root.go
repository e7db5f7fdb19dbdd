package queryapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5emb"

	"github.com/clusterlite/clusterlite/queryapi/openapi"
	"github.com/clusterlite/clusterlite/service/api"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/web"
)

// root lists the collections.
func (a *API) root(c echo.Context) error {
	type entry struct {
		Name        string `json:"name"`
		Href        string `json:"href"`
		Description string `json:"description,omitempty"`
	}
	entries := []entry{}
	for _, collection := range a.Collections.All() {
		entries = append(entries, entry{collection.Name(), "/" + collection.Name(), collection.Description()})
	}
	return a.static(c, func() ([]byte, error) {
		return json.Marshal(map[string]any{"collections": entries, "description": api.Description.Path, "documentation": api.Documentation.Path})
	})
}

// describe gives the OpenAPI description. It is made once.
func (a *API) describe(c echo.Context) error {
	a.describeOnce.Do(func() { a.description, a.describeErr = openapi.Describe(a.Collections, process.Version()) })
	return a.static(c, func() ([]byte, error) { return a.description, a.describeErr })
}

// static answers with JSON that no write changes.
func (a *API) static(c echo.Context, body func() ([]byte, error)) error {
	api.SetPosition(c.Response().Header(), int64(a.Model.Position()))
	if _, err := web.Accepts(c.Request(), api.JSON); err != nil {
		return err
	}
	if err := api.RefuseUnknownParameters(c.Request()); err != nil {
		return err
	}
	b, err := body()
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-cache")
	return write(c, b)
}

// documentationPolicy keeps the page from asking any other host for anything.
const documentationPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

var documentationHandler = sync.OnceValue(func() http.Handler {
	return v5emb.New("ClusterLite", api.Description.Path, api.Documentation.Path)
})

// documentation serves a page for people, which reads the description.
func documentation(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", documentationPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	if strings.HasSuffix(c.Request().URL.Path, api.Documentation.Path) {
		h.Set("Cache-Control", "no-cache")
	}
	documentationHandler().ServeHTTP(c.Response(), c.Request())
	return nil
}
