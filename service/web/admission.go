package web

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/problem"
)

// admissionKey is where a request's admission is kept.
const admissionKey = "clusterlite.admission"

// An admission is what one request has of a server: its place, its memory, its body. One
// goroutine uses it.
type admission struct {
	account
	*overload
	leave func() // gives the place back; nil before there is one

	slow     *slowBody // nil if the request has no body
	read     bool      // ReadBody was called
	body     []byte
	decoding *decoder // of a stream, or nil
}

// admit gives each request memory for its body, and a place.
func (o *overload) admit() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			a := &admission{account: account{memory: o.room}, overload: o}
			defer a.end()
			c.Set(admissionKey, a)
			err := a.serve(c, next)
			var busy *errBusy
			if errors.As(err, &busy) {
				o.rejected.WithLabelValues(busy.lack).Inc()
				return problem.Overloaded.Because(err, "The server is at capacity. Nothing was done. Retry later.")
			}
			return err
		}
	}
}

func (a *admission) serve(c echo.Context, next echo.HandlerFunc) error {
	r := c.Request()
	if r.Body != nil && r.Body != http.NoBody {
		a.slow = &slowBody{ReadCloser: r.Body, control: http.NewResponseController(c.Response())}
		r.Body = a.slow
	}
	if !a.readsWhole(r) {
		if err := a.enter(c); err != nil {
			return err
		}
	}
	err := next(c)
	if err != nil && a.slow != nil {
		a.giveUpPlace()
		a.slow.drain(r)
	}
	return err
}

// readsWhole tells whether the handler reads the body as a whole. The request has a place
// only from then on, so that a client that sends slowly keeps nobody out. A handler that
// refuses such a request by its header needs none.
func (a *admission) readsWhole(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return a.slow != nil && !IsStream(r)
	}
	return false
}

// enter gives the request its place, until its answer is ready: what is left then is to
// send it, and that may take long.
func (a *admission) enter(c echo.Context) (err error) {
	if a.leave, err = a.gateFor(c.Request()).enter(c.Request().Context()); err != nil {
		return err
	}
	c.Response().Before(a.leave)
	return nil
}

func (a *admission) giveUpPlace() {
	if a.leave != nil {
		a.leave()
	}
}

func (a *admission) end() {
	a.giveUpPlace()
	if a.decoding != nil {
		a.decoding.end()
	}
	a.close()
}
