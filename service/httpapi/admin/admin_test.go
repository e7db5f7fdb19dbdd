package admin_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestAdmin(t *testing.T) {
	var notReady error
	h := admin.Handler(admin.Source{
		Node:     "query-1",
		Ready:    func() error { return notReady },
		Status:   func(context.Context) (any, error) { return map[string]int{"position": 7}, nil },
		Registry: admin.NewRegistry(),
	})
	s := httptest.NewServer(h)
	defer s.Close()
	addr := strings.TrimPrefix(s.URL, "http://")
	want := func(path string, status int, part string) {
		t.Helper()
		r := servicetest.Do(h, "GET", path, "")
		if body := servicetest.Body(t, r); r.StatusCode != status || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	want("/livez", 200, `{"live":true}`)
	want("/readyz", 200, `{"ready":true}`)
	want("/status", 200, `{"position":7}`)
	want("/metrics", 200, "go_goroutines")
	want("/other", 404, "/not-found")
	if err := admin.CheckHealth(t.Context(), addr, false); err != nil {
		t.Error(err)
	}
	notReady = errors.New("behind the log")
	want("/readyz", 503, `{"ready":false,"reason":"behind the log"}`)
	want("/livez", 200, "true")
	if err := admin.CheckHealth(t.Context(), addr, false); err == nil || !strings.Contains(err.Error(), "behind the log") {
		t.Errorf("got %v", err)
	}
	if r := servicetest.Do(h, "POST", "/livez", ""); r.StatusCode != 405 || r.Header.Get("Allow") == "" {
		t.Errorf("got %d", r.StatusCode)
	}
	for node, status := range map[string]int{"": 200, "query-1": 200, "query-2": 421} {
		r := servicetest.Do(h, "GET", "/livez", "", admin.HeaderNode+": "+node)
		if body := servicetest.Body(t, r); r.StatusCode != status || status == 421 && !strings.Contains(body, "query-1") {
			t.Errorf("for node %q: %d %s", node, r.StatusCode, body)
		}
	}
	s.Close()
	for _, gone := range []string{addr, "nonsense"} {
		if err := admin.CheckHealth(t.Context(), gone, false); err == nil {
			t.Errorf("%s is healthy", gone)
		}
	}
}
