package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/process/logging"
)

// errorHandler sends errors as problems. It is the only place that logs a failure of the
// server.
func errorHandler(logger *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		ctx := c.Request().Context()
		if c.Response().Committed {
			logger.WarnContext(ctx, "the response was cut off", "error", err)
			return
		}
		p := toProblem(err)
		if p.Status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
			logger.ErrorContext(ctx, "request failed", "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
		}
		if next := tryNext(c.Request(), p); next != "" {
			c.Response().Header().Set("X-Accel-Redirect", next)
			c.Response().WriteHeader(p.Status)
			return
		}
		if err := p.Write(c.Response(), logging.RequestID(ctx), c.Request().Method != http.MethodHead); err != nil {
			logger.DebugContext(ctx, "the client disconnected", "error", err)
		}
	}
}

// HeaderTryNext is set by a proxy that can send a request to another process. It names the
// location in the proxy's configuration that does so.
const HeaderTryNext = "Clusterlite-Try-Next"

var validLocation = regexp.MustCompile(`^[a-z_]{1,32}$`)

// tryNext returns the location to which the proxy must send a request that this process
// rejected because it is not ready. Nothing was done, so even a write can be tried elsewhere.
// It returns "" for all other problems, and if no proxy has set the header field.
func tryNext(r *http.Request, p *problem.Problem) string {
	if !p.Of(problem.NotReady) {
		return ""
	}
	return TryNext(r)
}

// TryNext returns the location of the proxy's configuration that sends the request to another
// process, or "" if no proxy has named one. Use it only for a request that was not executed.
func TryNext(r *http.Request) string {
	location := r.Header.Get(HeaderTryNext)
	if location == "" || !validLocation.MatchString(location) {
		return ""
	}
	return "@" + location
}

func toProblem(err error) *problem.Problem {
	var routing *echo.HTTPError
	if errors.As(err, &routing) {
		switch routing.Code {
		case http.StatusNotFound:
			return problem.From(noResource())
		case http.StatusMethodNotAllowed:
			return problem.MethodNotAllowed.New("")
		}
	}
	return problem.From(err)
}

// recoverPanics turns a panic into an error with its stack, so that one request fails and the
// process continues.
func recoverPanics() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error { return Guard(func() error { return next(c) }) }
	}
}

// Guard turns a panic of do into an error with its stack. Handlers are guarded already. Use it
// in goroutines that they start, where a panic would end the process.
func Guard(do func() error) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so too
			panic(r)
		}
		err = &PanicError{Value: r, Stack: debug.Stack()}
	}()
	return do()
}

// A PanicError is a panic that [Guard] recovered from.
type PanicError struct {
	// Value is the argument of panic, and Stack the stack at that call.
	Value any
	Stack []byte
}

// Error includes the stack, for the log.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }
