package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/problem"
)

// methods are those that an API listener can be asked for.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect}

// A Resource is a path with all the methods that it has, whichever process serves them:
// behind one address a client must see the same methods everywhere.
type Resource struct {
	// Path is echo's pattern.
	Path string
	// Methods are all that the resource has, as Allow lists them. OPTIONS is among them.
	Methods []string
}

// Handlers are what this process serves of a resource, by method.
type Handlers map[string]echo.HandlerFunc

// Mount registers resources with the handlers of one or more services. Methods without
// a handler here are answered 405, with all methods of the resource in Allow.
func Mount(e *echo.Echo, r Resource, services ...Handlers) {
	allow := strings.Join(r.Methods, ", ")
	refuse := func(c echo.Context) error {
		if !slices.Contains(r.Methods, c.Request().Method) {
			return problem.MethodNotAllowed.New("The methods are "+allow+".").Set("Allow", allow)
		}
		return problem.MethodNotAllowed.New("This node does not serve the method; another one does.").Set("Allow", allow)
	}
	for _, method := range methods {
		h := refuse
		for _, service := range services {
			if served, ok := service[method]; ok {
				h = served
			}
		}
		if method == http.MethodOptions {
			h = func(c echo.Context) error {
				c.Response().Header().Set("Allow", allow)
				return c.NoContent(http.StatusNoContent)
			}
		}
		e.Add(method, r.Path, h)
	}
	// Any other word for a method: echo's router knows nothing of it.
	e.RouteNotFound(r.Path, refuse)
}
