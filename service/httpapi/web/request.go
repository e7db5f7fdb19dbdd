package web

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/ratelimit"
	"github.com/clusterlite/clusterlite/service/process/logging"
)

// keptFields is the number of header fields of a response that a request has room for.
const keptFields = 6

// A request is what the server keeps of one request. It is also the request's context, so that
// all of it costs one allocation. Use it from one goroutine, except Value.
type request struct {
	context.Context
	id        string
	caller    caller.Caller
	admission admission
	fields    [keptFields]string // values of header fields
	used      int                // number of fields that are in use
	inFlight  prometheus.Gauge   // counts the request; nil if nothing does
}

type requestKey struct{}

// Value implements [context.Context].
func (r *request) Value(key any) any {
	switch key.(type) {
	case requestKey:
		return r
	case logging.RequestIDKey:
		return r.id
	case caller.Key:
		return &r.caller
	}
	return r.Context.Value(key)
}

// requestOf returns what the server keeps of a request, or nil if the server was not made by
// [New].
func requestOf(c echo.Context) *request {
	ctx := c.Request().Context()
	if r, ok := ctx.(*request); ok {
		return r
	}
	r, _ := ctx.Value(requestKey{}).(*request) // a trace wraps it
	return r
}

// SetField sets a header field of the response. The name must be in canonical form, such as
// Etag. Instead of allocating a slice for each value, SetField uses the room in the request.
func SetField(c echo.Context, name, value string) {
	r, h := requestOf(c), c.Response().Header()
	if r == nil || r.used == keptFields {
		h[name] = []string{value}
		return
	}
	one := r.fields[r.used : r.used+1 : r.used+1] // an append would copy it
	r.used++
	one[0] = value
	h[name] = one
}

// identifyCaller sets who sent the request in its context. With a nil function all callers are
// anonymous, which is the zero value. It also takes a token of the caller from rates, which may be
// nil. A request whose credentials are rejected counts as an anonymous one, so that they can't be
// guessed at any rate.
func identifyCaller(who caller.Identify, rates *ratelimit.Limiter) echo.MiddlewareFunc {
	if who == nil {
		if rates == nil {
			return nil
		}
		who = func(*http.Request) (caller.Caller, error) { return caller.Anonymous, nil }
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			from, err := who(c.Request())
			if rates != nil {
				if limited := rates.Take(c.Request(), from, c.Response().Header()); limited != nil {
					return limited
				}
			}
			if err != nil {
				return err
			}
			requestOf(c).caller = from
			return next(c)
		}
	}
}
