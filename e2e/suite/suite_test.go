package suite_test

import (
	"os"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/suite"
)

// TestGivenURL runs the suite against the store at CLUSTERLITE_E2E_URL, if it is set.
func TestGivenURL(t *testing.T) {
	url := os.Getenv("CLUSTERLITE_E2E_URL")
	if url == "" {
		t.Skip("CLUSTERLITE_E2E_URL is not set: no store to test")
	}
	suite.Run(t, suite.Target{URL: strings.TrimSuffix(url, "/")})
}
