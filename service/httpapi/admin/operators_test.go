package admin_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// local sends a request as a program on the listener's host does.
func local(h http.Handler, method, path string, headers ...string) *http.Response {
	return addressed(h, "localhost:9080", method, path, headers...)
}

// addressed sends a request with a Host header field.
func addressed(h http.Handler, host, method, path string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	return servicetest.Serve(h, r)
}

func guarded(o admin.Operators) http.Handler {
	return admin.Handler(admin.Source{
		Node: "query-1", Operators: o, Registry: admin.NewRegistry(),
		Ready:     func() error { return nil },
		Status:    func(context.Context) (any, error) { return map[string]string{"data_dir": "/data"}, nil },
		Resources: admin.Profiles(),
	})
}

// Without a credential, only a listener on loopback serves more than probes and metrics.
func TestAnExposedListenerNeedsACredential(t *testing.T) {
	const token = "a-token-of-operators"
	secret := func() string { return token }
	for name, c := range map[string]struct {
		operators   admin.Operators
		with, strip int // the status with the token, and without it
	}{
		"exposed, no credential":  {admin.Operators{}, 403, 403},
		"exposed, token":          {admin.Operators{Token: secret}, 200, 401},
		"exposed, certificates":   {admin.Operators{Certificates: true}, 401, 401},
		"loopback, no credential": {admin.Operators{Local: true}, 200, 200},
		"loopback, token":         {admin.Operators{Local: true, Token: secret}, 200, 401},
	} {
		h := guarded(c.operators)
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			if r := local(h, "GET", path); r.StatusCode != 200 {
				t.Errorf("%s: GET %s: got %d, want 200", name, path, r.StatusCode)
			}
		}
		for _, path := range []string{"/status", "/debug/pprof/cmdline"} {
			r := local(h, "GET", path, "Authorization: Bearer "+token)
			if r.StatusCode != c.with {
				t.Errorf("%s: GET %s with the token: got %d, want %d", name, path, r.StatusCode, c.with)
			}
			r = local(h, "GET", path)
			body := servicetest.Body(t, r)
			if r.StatusCode != c.strip {
				t.Errorf("%s: GET %s without the token: got %d, want %d", name, path, r.StatusCode, c.strip)
			}
			if r.StatusCode == 403 && (!strings.Contains(body, "/credential-not-set") || !strings.Contains(body, "CLUSTERLITE_ADMIN_TOKEN_FILE")) {
				t.Errorf("%s: GET %s: got %s, want a problem that names the setting", name, path, body)
			}
			if strings.Contains(body, token) || r.StatusCode != 200 && strings.Contains(body, "/data") {
				t.Errorf("%s: GET %s: got %s, want nothing of the node in it", name, path, body)
			}
		}
	}
}

// A page in a browser on the host can neither change the node nor, by a name of its own that
// leads to loopback, read from it.
func TestPagesCannotUseALocalListener(t *testing.T) {
	for _, c := range []struct {
		host, header string
		want         int
	}{
		{"localhost:9080", "", 200},
		{"LOCALHOST", "", 200},
		{"127.0.0.1:9080", "", 200},
		{"127.8.0.1:9080", "", 200},
		{"[::1]:9080", "", 200},
		{"[::1]", "", 200},
		{"127.0.0.1:9080", "Sec-Fetch-Site: none", 200},
		{"", "", 403},
		{"pages.example:9080", "", 403},
		{"localhost.pages.example", "", 403},
		{"127.0.0.1.pages.example:9080", "", 403},
		{"192.0.2.1:9080", "", 403},
		{"localhost:9080", "Origin: https://pages.example", 403},
		{"localhost:9080", "Origin: null", 403},
		{"localhost:9080", "Sec-Fetch-Site: cross-site", 403},
	} {
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		h := guarded(admin.Operators{Local: true})
		if r := addressed(h, c.host, "GET", "/status", headers...); r.StatusCode != c.want {
			t.Errorf("GET /status with host %q and %q: got %d, want %d", c.host, c.header, r.StatusCode, c.want)
		}
		if r := addressed(h, c.host, "GET", "/readyz", headers...); r.StatusCode != 200 {
			t.Errorf("GET /readyz with host %q and %q: got %d, want 200", c.host, c.header, r.StatusCode)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.1.2.3:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "[2001:db8::1]:1": false,
	} {
		bound, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := admin.Loopback(bound); got != want {
			t.Errorf("%s: got %t, want %t", address, got, want)
		}
	}
	if admin.Loopback(&net.UnixAddr{Name: "/x"}) {
		t.Error("got true for an address that is not of TCP, want false")
	}
}
