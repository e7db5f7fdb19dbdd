package admin_test

import (
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestProfiles(t *testing.T) {
	source := admin.Source{Node: "query-1", Operators: admin.Operators{Local: true}, Registry: admin.NewRegistry()}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1"} {
		if r := local(admin.Handler(source), "GET", path); r.StatusCode != 404 {
			t.Errorf("GET %s: got status %d while profiles are off, want 404", path, r.StatusCode)
		}
	}
	source.Resources = admin.Profiles()
	for path, want := range map[string]string{
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "TestProfiles",
		"/debug/pprof/heap?debug=1":      "heap profile",
		"/debug/pprof/trace?seconds=0.1": "go 1.",
	} {
		r := local(admin.Handler(source), "GET", path)
		if body := servicetest.Body(t, r); r.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("GET %s: got status %d and %d bytes, want 200 and %q in them", path, r.StatusCode, len(body), want)
		}
	}
}
