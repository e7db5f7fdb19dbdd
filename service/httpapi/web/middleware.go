package web

import (
	"slices"

	"github.com/labstack/echo/v4"
)

// A middleware is one step that every request passes before its handler.
type middleware struct {
	// name identifies it, for people and tests.
	name string
	// wrap makes it for a server, or returns nil if the server does not need it.
	wrap func(Options) echo.MiddlewareFunc
}

// chain lists the middleware, the outermost first. It is the only list: to add middleware, add
// a line where its reason says.
var chain = []middleware{
	// First: it creates the state of a request, with the ID that all later steps log.
	{"request id", func(Options) echo.MiddlewareFunc { return identify() }},
	// Before all steps that log, so that log lines have the trace, and spans cover all that follows.
	{"trace", func(o Options) echo.MiddlewareFunc { return traceRequests(o.Tracing) }},
	// Before all that can fail: it answers errors itself, so that it sees the final status.
	{"observe", func(o Options) echo.MiddlewareFunc { return observe(o.Logger, o.Registry) }},
	// Inside observe, which then counts a panic as a 500 with a problem as its body.
	{"recover", func(Options) echo.MiddlewareFunc { return recoverPanics() }},
	// Before authentication and admission, so that scripts can read rejections, and a preflight
	// needs neither credentials nor a slot.
	{"CORS", func(o Options) echo.MiddlewareFunc { return o.CORS.middleware() }},
	// Before admission, so that a request without valid credentials, or of a client that sends too
	// many, takes no memory for its body.
	{"caller", func(o Options) echo.MiddlewareFunc { return identifyCaller(o.Callers, o.Rates) }},
	// Before admission, whose problems are responses too.
	{"no compression", func(o Options) echo.MiddlewareFunc {
		if !o.Uncompressed {
			return nil
		}
		return uncompressed
	}},
	// Last, next to the handler: it holds a slot and memory only while the handler needs them.
	{"admission", func(o Options) echo.MiddlewareFunc { return newCapacity(o.Limits, o.MaxBody, o.Registry).admit() }},
}

// link makes the middleware of a server, linked now. Echo would link it again for each request,
// and allocate each step. The result must be the server's only middleware.
func link(o Options) echo.MiddlewareFunc {
	linked := func(c echo.Context) error { return c.Handler()(c) }
	for _, m := range slices.Backward(chain) {
		if wrap := m.wrap(o); wrap != nil {
			linked = wrap(linked)
		}
	}
	return func(echo.HandlerFunc) echo.HandlerFunc { return linked }
}
