package web

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// An admission is what one request has of a server: its place, its memory, its body. It
// stands before the writer of the answer to give the place back in time. One goroutine uses
// it.
type admission struct {
	account
	*overload
	out   http.ResponseWriter // what the answer goes to, once the request has a place
	place *gate               // where the request has a place; nil before it has, and after it gave it up

	slow     *slowBody // nil if the request has no body
	read     bool      // ReadBody was called
	body     []byte
	decoding *decoder // of a stream, or nil
}

// admit gives each request memory for its body, and a place.
func (o *overload) admit() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			a := &requestOf(c).admission
			a.account.memory, a.overload = o.room, o
			defer a.end()
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
func (a *admission) enter(c echo.Context) error {
	g := a.gateFor(c.Request())
	if err := g.enter(c.Request().Context()); err != nil {
		return err
	}
	a.place = g
	w := c.Response()
	a.out, w.Writer = w.Writer, a
	return nil
}

// Header implements [http.ResponseWriter].
func (a *admission) Header() http.Header { return a.out.Header() }

// WriteHeader implements [http.ResponseWriter]: the answer is ready now.
func (a *admission) WriteHeader(status int) {
	a.giveUpPlace()
	a.out.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *admission) Write(p []byte) (int, error) { return a.out.Write(p) }

// Unwrap gives the writer below, for [http.ResponseController].
func (a *admission) Unwrap() http.ResponseWriter { return a.out }

func (a *admission) giveUpPlace() {
	if a.place != nil {
		a.place.leave()
		a.place = nil
	}
}

// admissionOf gives the admission of a request; nil if the server has none.
func admissionOf(c echo.Context) *admission {
	if r := requestOf(c); r != nil && r.admission.overload != nil {
		return &r.admission
	}
	return nil
}

func (a *admission) end() {
	a.giveUpPlace()
	if a.decoding != nil {
		a.decoding.end()
	}
	a.close()
}
