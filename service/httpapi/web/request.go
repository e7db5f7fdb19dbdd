package web

import (
	"context"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/process/logging"
)

// keptFields is how many header fields of an answer a request has room for.
const keptFields = 6

// A request is what the server keeps of one request. It is the request's context too, so
// that all of it costs one allocation. One goroutine uses it, but for its Value.
type request struct {
	context.Context
	id        string
	admission admission
	fields    [keptFields]string // values of header fields
	used      int                // how many of them
}

type requestKey struct{}

// Value implements [context.Context].
func (r *request) Value(key any) any {
	switch key.(type) {
	case requestKey:
		return r
	case logging.RequestIDKey:
		return r.id
	}
	return r.Context.Value(key)
}

// requestOf gives what the server keeps of a request; nil if the server was not made by
// [New].
func requestOf(c echo.Context) *request {
	ctx := c.Request().Context()
	if r, ok := ctx.(*request); ok {
		return r
	}
	r, _ := ctx.Value(requestKey{}).(*request) // a trace wraps it
	return r
}

// SetField sets a header field of the answer. The name must be in canonical form, such as
// Etag. In place of a slice for each value, it takes the room that the request has.
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
