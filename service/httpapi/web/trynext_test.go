package web_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// A proxy sends a request elsewhere only if it was rejected because the node is not ready, and only
// if the proxy has named a location for that.
func TestARejectionNamesWhereTheProxyTriesNext(t *testing.T) {
	for _, c := range []struct {
		kind        problem.Kind
		place, want string
	}{
		{problem.NotReady, "write_again", "@write_again"},
		{problem.NotReady, "", ""},
		{problem.NotReady, "/internal", ""},
		{problem.NotReady, "a\r\nX: y", ""},
		{problem.OutcomeUnknown, "write_again", ""},
		{problem.Overloaded, "write_again", ""},
	} {
		e := server(web.Options{}, func(echo.Context) error { return c.kind.New("No.") })
		r := httptest.NewRequest("POST", "/things", strings.NewReader("{}"))
		r.Header.Set("Clusterlite-Try-Next", c.place)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if got := w.Header().Get("X-Accel-Redirect"); got != c.want || w.Code != 503 {
			t.Errorf("%+v: got status %d and %q, want 503 and %q", c, w.Code, got, c.want)
		}
	}
}
