package node_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A drained node is not ready, refuses clients, and stops cleanly. Draining it again is no error.
func TestDrainedNode(t *testing.T) {
	b := servicetest.StartBroker(t)
	ready, stop := servicetest.RunNode(t, b, "drained", func(c *node.Config) {
		c.Mount = func(e *echo.Echo, _ *node.Node) {
			e.GET("/x", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
		}
	})
	n := <-ready
	if err := admin.CheckHealth(t.Context(), n.Admin.String(), false); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := admin.Drain(t.Context(), n.Admin.String(), false, nil); err != nil {
			t.Errorf("drain: got %v, want no error", err)
		}
	}
	if err := admin.CheckHealth(t.Context(), n.Admin.String(), false); err == nil || !strings.Contains(err.Error(), "drained") {
		t.Errorf("readiness: got %v, want that it is being drained", err)
	}
	if response, err := http.Get("http://" + n.API.String() + "/x"); err == nil {
		t.Errorf("a client: got %s, want a refused connection", response.Status)
	}
	if err := stop(); err != nil {
		t.Errorf("stop: got %v, want no error", err)
	}
}
