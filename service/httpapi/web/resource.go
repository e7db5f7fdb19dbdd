package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
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
	// Accepts are the media types of bodies, by method.
	Accepts map[string][]string
}

// describe says in an answer's header what the resource takes: Accept-Patch is RFC 5789,
// 3.1. Reads don't say it: a ninth field makes their header twice as large in memory.
func (r Resource) describe(h http.Header) {
	h.Set("Allow", strings.Join(r.Methods, ", "))
	for _, method := range []string{http.MethodPatch, http.MethodPost} {
		if types := r.Accepts[method]; len(types) > 0 {
			h.Set(negotiation.AcceptField(method), strings.Join(types, ", "))
		}
	}
}

// Handlers are what this process serves of a resource, by method.
type Handlers map[string]echo.HandlerFunc

// Mount registers a resource with the handlers of one or more services. A method that
// the resource does not have is answered 405, with its methods in Allow. One that it has,
// and that no service here serves, is answered 421: another node does. The last parameter
// of a path is one segment; what is below is no resource.
func Mount(e *echo.Echo, r Resource, services ...Handlers) {
	allow := strings.Join(r.Methods, ", ")
	refuse := func(c echo.Context) error {
		if slices.Contains(r.Methods, c.Request().Method) {
			return problem.Misdirected.New("This node does not serve " + c.Request().Method + " requests for this path. Nothing was done. Send reads to a query service and writes to a command service, or send both to the proxy in front of them.")
		}
		return problem.MethodNotAllowed.New("The resource supports "+allow+".").Set("Allow", allow)
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
				r.describe(c.Response().Header())
				return c.NoContent(http.StatusNoContent)
			}
		}
		e.Add(method, r.Path, r.exactly(h))
	}
	// Any other word for a method: echo's router knows nothing of it.
	e.RouteNotFound(r.Path, r.exactly(refuse))
}

// exactly keeps a handler to the paths that the resource has: echo gives the rest of a
// path, with all its slashes, to the last parameter, and an empty one too.
func (r Resource) exactly(h echo.HandlerFunc) echo.HandlerFunc {
	if !strings.HasPrefix(r.Path[strings.LastIndexByte(r.Path, '/')+1:], ":") {
		return h
	}
	slashes := strings.Count(r.Path, "/")
	return func(c echo.Context) error {
		// Not the parameter: a method that echo does not know has none.
		path := echo.GetPath(c.Request())
		if strings.Count(path, "/") != slashes || strings.HasSuffix(path, "/") {
			return noResource()
		}
		return h(c)
	}
}

func noResource() error { return problem.NotFound.New("No resource exists at this path.") }
