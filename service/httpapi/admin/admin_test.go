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
		Node:      "query-1",
		Ready:     func() error { return notReady },
		Status:    func(context.Context) (any, error) { return map[string]int{"position": 7}, nil },
		Registry:  admin.NewRegistry(),
		Operators: admin.Operators{Local: true},
	})
	s := httptest.NewServer(h)
	defer s.Close()
	addr := strings.TrimPrefix(s.URL, "http://")
	want := func(path string, status int, part string) {
		t.Helper()
		r := local(h, "GET", path)
		if body := servicetest.Body(t, r); r.StatusCode != status || !strings.Contains(body, part) {
			t.Errorf("%s: got %d %s, want %d with %q", path, r.StatusCode, body, status, part)
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
		t.Errorf("got %v, want that the process is behind the log", err)
	}
	if r := local(h, "POST", "/livez"); r.StatusCode != 405 || r.Header.Get("Allow") == "" {
		t.Errorf("got %d, want 405 with Allow", r.StatusCode)
	}
	for node, status := range map[string]int{"": 200, "query-1": 200, "query-2": 421} {
		r := local(h, "GET", "/livez", admin.HeaderNode+": "+node)
		if body := servicetest.Body(t, r); r.StatusCode != status || status == 421 && !strings.Contains(body, "query-1") {
			t.Errorf("for node %q: got %d %s, want %d", node, r.StatusCode, body, status)
		}
	}
	s.Close()
	for _, gone := range []string{addr, "nonsense"} {
		if err := admin.CheckHealth(t.Context(), gone, false); err == nil {
			t.Errorf("%s: got no error, want one", gone)
		}
	}
}
