package web

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"net/http/httptest"
)

// Requests pass the middleware in the order of the list. The test replaces each step by one that
// records its name.
func TestMiddlewareRunsInTheOrderOfTheList(t *testing.T) {
	want := []string{"request id", "trace", "observe", "recover", "CORS", "caller", "no compression", "admission"}
	var names, passed []string
	kept := chain
	t.Cleanup(func() { chain = kept })
	chain = nil
	for _, m := range kept {
		names = append(names, m.name)
		chain = append(chain, middleware{m.name, func(Options) echo.MiddlewareFunc { return recording(m.name, &passed) }})
	}
	if !slices.Equal(names, want) {
		t.Errorf("got the list %q, want %q: if you have moved a step, check its reason", names, want)
	}
	serveOnce(Options{})
	if !slices.Equal(passed, want) {
		t.Errorf("got %q, want %q", passed, want)
	}
}

// New middleware needs only one line of the list. It sees who sends the request, because it comes
// after that step.
func TestMiddlewareIsAddedByOneLine(t *testing.T) {
	var passed []string
	kept := chain
	t.Cleanup(func() { chain = kept })
	chain = slices.Insert(slices.Clone(chain), len(chain)-1, middleware{"new", func(Options) echo.MiddlewareFunc { return recording("new", &passed) }})
	if status := serveOnce(Options{Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Limits: Limits{Requests: 1, Memory: 1 << 20}}); status != 204 || !slices.Equal(passed, []string{"new"}) {
		t.Errorf("got status %d, passed %q, want 204 and the new step", status, passed)
	}
}

func recording(name string, passed *[]string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			*passed = append(*passed, name)
			return next(c)
		}
	}
}

func serveOnce(o Options) (status int) {
	e := echo.New()
	e.Use(link(o))
	e.GET("/", func(c echo.Context) error { return c.NoContent(204) })
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	return w.Code
}
