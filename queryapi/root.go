package queryapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/queryapi/modelrows"
	"github.com/clusterlite/clusterlite/queryapi/openapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/process"
)

// root handles GET and HEAD of /, which lists the collections and the read models in SQL.
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
	type model struct {
		Name        string  `json:"name"`
		Description string  `json:"description,omitempty"`
		Reads       []entry `json:"reads"`
	}
	models := []model{}
	for _, d := range a.builtModels() {
		m := model{Name: d.Name, Description: d.Description}
		for _, name := range modelrows.Names(d) {
			m.Reads = append(m.Reads, entry{Name: name, Href: "/models/" + d.Name + "/" + name})
		}
		models = append(models, m)
	}
	return a.static(c, func() ([]byte, error) {
		return json.Marshal(map[string]any{"collections": entries, "models": models, "description": contract.Description.Path, "documentation": contract.Documentation.Path})
	})
}

// A description is the OpenAPI description of the models whose hashes it has.
type description struct {
	models []string
	json   []byte
}

// builtModels returns the definitions of the read models that serve, sorted by name, without the
// program's own.
func (a *API) builtModels() (built []*sqlmodel.Definition) {
	if a.Models == nil {
		return nil
	}
	for _, m := range a.Models.All() {
		if d, ok := m.Definition(); ok && sqlmodel.ValidName.MatchString(d.Name) {
			built = append(built, d)
		}
	}
	return built
}

// describe serves the OpenAPI description. It is created when it is first needed, and again when the
// models have changed.
func (a *API) describe(c echo.Context) error {
	return a.static(c, func() ([]byte, error) {
		built := a.builtModels()
		var hashes []string
		for _, d := range built {
			hashes = append(hashes, d.Name, d.Hash)
		}
		a.describing.Lock()
		defer a.describing.Unlock()
		if a.description != nil && slices.Equal(a.description.models, hashes) {
			return a.description.json, nil
		}
		more := []openapi.Option{openapi.Models(built)}
		if a.RateLimited {
			more = append(more, openapi.RateLimited)
		}
		b, err := openapi.Describe(a.Collections, process.Version(), a.Secured, a.Access, more...)
		if err != nil {
			return nil, err
		}
		a.description = &description{hashes, b}
		return b, nil
	})
}

// static sends JSON that does not depend on the data.
func (a *API) static(c echo.Context, body func() ([]byte, error)) error {
	contract.SetPosition(c.Response().Header(), int64(a.Model.Position()))
	if _, err := negotiation.Accepts(c.Request(), contract.JSON); err != nil {
		return err
	}
	if err := contract.RejectUnknownParameters(c.Request()); err != nil {
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
