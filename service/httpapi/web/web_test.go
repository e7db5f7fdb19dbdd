package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

var things = web.Resource{Path: "/things", Methods: []string{"GET", "HEAD", "POST", "OPTIONS"}}

// server mounts a resource whose POST calls f once the body has arrived.
func server(options web.Options, f echo.HandlerFunc) *echo.Echo {
	e := servicetest.Echo(options)
	post := func(c echo.Context) error {
		if _, err := web.ReadBody(c); err != nil {
			return err
		}
		return f(c)
	}
	web.Mount(e, things, web.Handlers{"GET": func(c echo.Context) error { return c.String(200, "got") }}, web.Handlers{"POST": post})
	return e
}

func TestMethods(t *testing.T) {
	e := servicetest.Echo(web.Options{})
	web.Mount(e, things, web.Handlers{"GET": func(c echo.Context) error { return c.String(200, "got") }})
	const allow = "GET, HEAD, POST, OPTIONS"
	for method, want := range map[string]struct {
		status int
		allow  string
	}{
		"GET": {200, ""}, "OPTIONS": {204, allow}, "PUT": {405, allow}, "DELETE": {405, allow}, "TRACE": {405, allow}, "BREW": {405, allow},
		// The resource has these methods, but this node does not serve them. Allow could not say both.
		"POST": {421, ""}, "HEAD": {421, ""},
	} {
		r := servicetest.Do(e, method, "/things", "")
		if r.StatusCode != want.status || r.Header.Get("Allow") != want.allow {
			t.Errorf("%s: got %d, Allow %q, want %+v", method, r.StatusCode, r.Header.Get("Allow"), want)
		}
	}
	if r := servicetest.Do(e, "GET", "/nothing/here", ""); r.StatusCode != 404 || r.Header.Get("Content-Type") != problem.ContentType {
		t.Errorf("got %d %v, want 404 with a problem", r.StatusCode, r.Header)
	}
}

// A parameter at the end of a path is one segment. Paths below it are not resources, whatever the
// method.
func TestPathsEndWhereTheirResourceDoes(t *testing.T) {
	e := servicetest.Echo(web.Options{})
	web.Mount(e, web.Resource{Path: "/:a/:b", Methods: []string{"GET", "OPTIONS"}}, web.Handlers{"GET": func(c echo.Context) error { return c.String(200, c.Param("b")) }})
	for path, status := range map[string]int{"/x/y": 200, "/x/y%20": 200, "/x/y/z": 404, "/x/y/": 404, "/x/": 404, "/x/y/z/w": 404} {
		for _, method := range []string{"GET", "OPTIONS", "PUT", "BREW"} {
			r := servicetest.Do(e, method, path, "")
			want := status
			if method != "GET" && status == 200 {
				want = map[string]int{"OPTIONS": 204, "PUT": 405, "BREW": 405}[method]
			}
			if body := servicetest.Body(t, r); r.StatusCode != want || want == 404 && !strings.Contains(body, "No resource exists at this path") {
				t.Errorf("%s %s: got %d %s, want %d", method, path, r.StatusCode, body, want)
			}
		}
	}
}

// OPTIONS and the rejection of another media type list what a resource accepts.
func TestAcceptPatchAndPost(t *testing.T) {
	e := servicetest.Echo(web.Options{})
	types := []string{"application/merge-patch+json", "application/json"}
	refuse := func(c echo.Context) error {
		_, err := negotiation.ContentType(c.Request(), types...)
		return err
	}
	web.Mount(e, web.Resource{Path: "/things", Methods: []string{"POST", "PUT", "PATCH", "OPTIONS"}, Accepts: map[string][]string{"PATCH": types, "POST": types}},
		web.Handlers{"POST": refuse, "PATCH": refuse, "PUT": refuse})
	want := strings.Join(types, ", ")
	if h := servicetest.Do(e, "OPTIONS", "/things", "").Header; h.Get("Accept-Patch") != want || h.Get("Accept-Post") != want || h.Get("Allow") != "POST, PUT, PATCH, OPTIONS" {
		t.Errorf("OPTIONS: got %v, want Accept-Patch, Accept-Post and Allow", h)
	}
	for method, field := range map[string]string{"PATCH": "Accept-Patch", "POST": "Accept-Post", "PUT": "Accept"} {
		r := servicetest.Do(e, method, "/things", "x", "Content-Type: text/plain")
		if r.StatusCode != 415 || r.Header.Get(field) != want || r.Header.Get("Accept") != want {
			t.Errorf("%s: got %d %v, want 415 with the accepted types", method, r.StatusCode, r.Header)
		}
	}
}

func TestErrors(t *testing.T) {
	for name, want := range map[string]struct {
		err    error
		panic  bool
		status int
	}{
		"a problem":         {err: problem.UniqueTaken.New("x"), status: 409},
		"a wrapped problem": {err: fmt.Errorf("x: %w", problem.UniqueTaken.New("x")), status: 409},
		"any other error":   {err: errors.New("secret"), status: 500},
		"a panic":           {panic: true, status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			e := server(web.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(echo.Context) error {
				if want.panic {
					panic("secret")
				}
				return want.err
			})
			r := servicetest.Do(e, "POST", "/things", "{}", "X-Request-Id: r-1")
			body := servicetest.Body(t, r)
			if r.StatusCode != want.status || !strings.Contains(body, `"instance":"r-1"`) || strings.Contains(body, "secret") {
				t.Errorf("got %d %s, want %d with the request's id", r.StatusCode, body, want.status)
			}
			if logged := strings.Contains(log.String(), "secret"); logged != (want.status == 500) {
				t.Errorf("got the log %s, want the error in it if the status is 500, and only then", log.String())
			}
		})
	}
}

func TestRequestIDs(t *testing.T) {
	e := server(web.Options{}, nil)
	for given, kept := range map[string]bool{"abc-1.2:3_4": true, "": false, "a b": false, "a\"b": false, strings.Repeat("x", 129): false} {
		got := servicetest.Do(e, "GET", "/things", "", "X-Request-Id: "+given).Header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("%q: got the id %q, want the same if it is valid, and a new one otherwise", given, got)
		}
	}
}

func TestBodies(t *testing.T) {
	e := server(web.Options{MaxBody: 10}, func(c echo.Context) error {
		b, err := web.ReadBody(c)
		if err != nil {
			return err
		}
		return c.Blob(200, "text/plain", b)
	})
	for body, status := range map[string]int{"{}": 200, "0123456789": 200, "01234567890": 413, strings.Repeat("x", 1<<20): 413} {
		for _, chunked := range []bool{false, true} {
			r, err := http.NewRequest("POST", "http://x/things", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if chunked {
				r.ContentLength = -1
			}
			got := servicetest.Serve(e, r)
			text := servicetest.Body(t, got)
			if got.StatusCode != status || status == 200 && text != body || status == 413 && !strings.Contains(text, "/body-too-large") {
				t.Errorf("%d bytes, chunked %v: got %d %s, want %d", len(body), chunked, got.StatusCode, text, status)
			}
		}
	}
}

func TestABodyThatBreaksOff(t *testing.T) {
	e := server(web.Options{}, func(c echo.Context) error {
		_, err := web.ReadBody(c)
		return err
	})
	r, err := http.NewRequest("POST", "http://x/things", io.MultiReader(strings.NewReader("{"), errReader{}))
	if err != nil {
		t.Fatal(err)
	}
	if got := servicetest.Serve(e, r); got.StatusCode != 400 {
		t.Errorf("got %d, want 400", got.StatusCode)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("reset") }

func TestCORS(t *testing.T) {
	const origin = "https://app.example.com"
	for _, s := range []struct {
		origins []string
		from    string
		allowed string
	}{
		{[]string{"*"}, origin, "*"},
		{[]string{"*"}, "", ""},
		{[]string{origin, "https://b.example"}, origin, origin},
		{[]string{origin}, "https://evil.example", ""},
		{[]string{origin}, "https://app.example.com.evil.example", ""},
		{[]string{origin}, "null", ""},
	} {
		e := server(web.Options{CORS: web.CORS{Origins: s.origins}}, nil)
		for _, headers := range [][]string{{"Origin: " + s.from}, {"Origin: " + s.from, "Access-Control-Request-Method: PUT"}} {
			method := "GET"
			if len(headers) == 2 {
				method = "OPTIONS"
			}
			h := servicetest.Do(e, method, "/things", "", headers...).Header
			if h.Get("Access-Control-Allow-Origin") != s.allowed || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%v, %s from %q: got %v, want the allowed origin and no credentials", s.origins, method, s.from, h)
			}
			if listed := s.origins[0] != "*"; listed != (h.Get("Vary") == "Origin") {
				t.Errorf("got Vary %q, want Origin if origins are listed", h.Get("Vary"))
			}
			if preflight := method == "OPTIONS" && s.allowed != ""; preflight != (h.Get("Access-Control-Allow-Methods") != "") {
				t.Errorf("%s from %q: got %v, want methods for an allowed preflight, and none otherwise", method, s.from, h)
			}
		}
	}
}

// The API does not use Authorization, but a proxy in front of it may. The proxy may also have
// header fields that the API does not know.
func TestCORSHeaders(t *testing.T) {
	e := server(web.Options{CORS: web.CORS{Origins: []string{"*"}, AllowHeaders: []string{"X-Tenant"}, ExposeHeaders: []string{"RateLimit"}}}, nil)
	const origin = "Origin: https://app.example.com"
	h := servicetest.Do(e, "OPTIONS", "/things", "", origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization, x-tenant").Header
	for _, name := range []string{"Authorization", "Content-Encoding", "Idempotency-Key", "X-Tenant"} {
		if !slices.Contains(strings.Split(h.Get("Access-Control-Allow-Headers"), ", "), name) {
			t.Errorf("%s: got %v, want it allowed", name, h)
		}
	}
	if h.Get("Access-Control-Max-Age") == "" {
		t.Errorf("got no Access-Control-Max-Age, want one: %v", h)
	}
	for _, path := range []string{"/things", "/nothing"} {
		h := servicetest.Do(e, "GET", path, "", origin).Header
		for _, name := range []string{"ETag", "Accept-Patch", "WWW-Authenticate", "RateLimit"} {
			if !slices.Contains(strings.Split(h.Get("Access-Control-Expose-Headers"), ", "), name) {
				t.Errorf("%s: %s: got %v, want it exposed", path, name, h)
			}
		}
	}
	// Without Access-Control-Request-Method, OPTIONS is not a preflight, but an ordinary request.
	if h := servicetest.Do(e, "OPTIONS", "/things", "", origin).Header; h.Get("Allow") == "" || h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("OPTIONS by a script: got %v, want Allow, and every origin allowed", h)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	e := server(web.Options{Registry: registry}, nil)
	servicetest.Do(e, "GET", "/things", "")
	servicetest.Do(e, "BREW", "/things", "")
	servicetest.Do(e, "GET", "/secret/path", "")
	const want = `
# HELP clusterlite_http_requests_total Requests served, by method, route and status.
# TYPE clusterlite_http_requests_total counter
clusterlite_http_requests_total{method="GET",route="/things",status="200"} 1
clusterlite_http_requests_total{method="GET",route="none",status="404"} 1
clusterlite_http_requests_total{method="other",route="/things",status="405"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "clusterlite_http_requests_total"); err != nil {
		t.Error(err)
	}
}

// A request that is in flight when the process is asked to stop gets its response.
func TestServeFinishesRequestsInFlight(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := web.Listen(l.Addr().String()); err == nil {
		t.Error("got no error for an address in use, want one")
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, l, nil, h, slog.New(slog.DiscardHandler)) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-started
	stop()
	close(finish)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || servicetest.Body(t, r) != "done" {
		t.Errorf("got %v, want the response", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
