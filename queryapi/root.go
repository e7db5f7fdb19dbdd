package queryapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/queryapi/openapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/process"
)

// root handles GET and HEAD of /, which lists the collections.
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
		return json.Marshal(map[string]any{"collections": entries, "description": contract.Description.Path, "documentation": contract.Documentation.Path})
	})
}

// describe serves the OpenAPI description. It is created once.
func (a *API) describe(c echo.Context) error {
	a.describeOnce.Do(func() {
		var more []openapi.Option
		if a.RateLimited {
			more = append(more, openapi.RateLimited)
		}
		a.description, a.describeErr = openapi.Describe(a.Collections, process.Version(), a.Secured, a.Access, more...)
	})
	return a.static(c, func() ([]byte, error) { return a.description, a.describeErr })
}

// static sends JSON that does not depend on the data.
func (a *API) static(c echo.Context, body func() ([]byte, error)) error {
	contract.SetPosition(c.Response().Header(), int64(a.Model.Position()))
	if _, err := negotiation.Accepts(c.Request(), contract.JSON); err != nil {
		return err
	}
	if err := contract.RefuseUnknownParameters(c.Request()); err != nil {
		return err
	}
	b, err := body()
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-cache")
	sum := sha256.Sum256(b)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	h.Set("ETag", etag)
	has, err := contract.NoneMatch(c.Request(), etag)
	if err != nil {
		return err
	}
	if has {
		return web.NotModified(c, len(b))
	}
	return write(c, b)
}
