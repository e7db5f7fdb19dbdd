package e2e_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/feed"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// wanted skips the test unless CLUSTERLITE_E2E, a list separated by commas, names the
// deployment. A deployment that is named and can't run is a failure.
func wanted(t *testing.T, deployment string) {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), deployment) {
		t.Skipf("CLUSTERLITE_E2E does not name %s", deployment)
	}
}

func TestStandalone(t *testing.T) {
	c := cluster.Serve(t)
	t.Run("an empty list is [], not null", func(t *testing.T) {
		r := suite.Target{URL: c.URL}.Do(t, "GET", "/users", "").Want(t, 200)
		if string(r.Body) != "[]" {
			t.Errorf("got %s, want []", r.Body)
		}
	})
	t.Run("suite", func(t *testing.T) { suite.Run(t, suite.Target{URL: c.URL, Exclusive: true}) })
	t.Run("feed", func(t *testing.T) { feed.Run(t, suite.Target{URL: c.URL, Exclusive: true}) })
	t.Run("on the wire", func(t *testing.T) { onTheWire(t, c) })
	t.Run("foreign records", func(t *testing.T) { foreignRecords(t, c) })
	t.Run("kill under load", func(t *testing.T) { killUnderLoad(t, c, c.Server) })
	t.Run("retries under kills", func(t *testing.T) { retriesUnderKills(t, c, c.Server) })
	t.Run("stop under load", func(t *testing.T) { stopUnderLoad(t, c, c.Server) })
	t.Run("a second process on the folder is rejected", func(t *testing.T) { secondProcess(t, c) })
}
