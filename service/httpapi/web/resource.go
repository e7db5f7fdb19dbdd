package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// methods are the methods that HTTP defines.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect}

// A Resource is a path with all its methods, whichever process serves them. Behind one address,
// a client must see the same methods everywhere.
type Resource struct {
	// Path is echo's pattern.
	Path string
	// Methods are all methods of the resource, OPTIONS included, in the order of Allow.
	Methods []string
	// Accepts are the media types of bodies, by method.
	Accepts map[string][]string
}

// describe sets the header fields of the response that list what the resource accepts
// (Accept-Patch: RFC 5789, 3.1). Responses to reads lack them: a ninth field would double the
// memory of their header.
func (r Resource) describe(h http.Header) {
	h.Set("Allow", strings.Join(r.Methods, ", "))
	for _, method := range []string{http.MethodPatch, http.MethodPost} {
		if types := r.Accepts[method]; len(types) > 0 {
			h.Set(negotiation.AcceptField(method), strings.Join(types, ", "))
		}
	}
}

// Handlers are the handlers of a resource in this process, by method.
type Handlers map[string]echo.HandlerFunc

// Mount registers a resource with the handlers of one or more services. A method that the
// resource does not have gets 405, with its methods in Allow. A method that it has, but that no
// service in this process serves, gets 421, because another node serves it. The last parameter
// of a path is one segment; paths below it are not found.
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
	// This handles all other methods, which echo's router does not know.
	e.RouteNotFound(r.Path, r.exactly(refuse))
}

// exactly limits a handler to the paths of the resource. Echo would match the last parameter
// with the rest of a path including its slashes, and with an empty segment.
func (r Resource) exactly(h echo.HandlerFunc) echo.HandlerFunc {
	if !strings.HasPrefix(r.Path[strings.LastIndexByte(r.Path, '/')+1:], ":") {
		return h
	}
	slashes := strings.Count(r.Path, "/")
	return func(c echo.Context) error {
		// The parameter can't be used: a method that echo does not know has none.
		path := echo.GetPath(c.Request())
		if strings.Count(path, "/") != slashes || strings.HasSuffix(path, "/") {
			return noResource()
		}
		return h(c)
	}
}

func noResource() error { return problem.NotFound.New("No resource exists at this path.") }
