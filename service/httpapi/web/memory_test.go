package web_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A request that holds something else asks for more memory without waiting. The response shows
// that there was no wait: the request is cancelled, and a wait would end with that and report it.
func TestTryReserveMemoryDoesNotWait(t *testing.T) {
	e := servicetest.Echo(web.Options{Registry: prometheus.NewRegistry(), Limits: web.Limits{Requests: 1, Memory: 1000}})
	var first error
	web.Mount(e, things, web.Handlers{"GET": func(c echo.Context) error {
		first = web.TryReserveMemory(c, 900)
		return web.TryReserveMemory(c, 200)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/things", nil).WithContext(ctx)
	cancel()
	e.ServeHTTP(w, r)
	if body := w.Body.String(); first != nil || w.Code != 503 || !strings.Contains(body, "/overloaded") {
		t.Errorf("got %v, then %d %s, want none and an overloaded problem", first, w.Code, body)
	}
}
