package hostile_test

import (
	"strings"
	"testing"
)

// target returns a GET of a request target as it is.
func target(s string, lines ...string) string {
	return "GET " + s + " HTTP/1.1\r\nHost: store.example\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// paths are requests that try to reach what is not meant for clients, or another server.
func paths() []attack {
	attacks := []attack{
		{"a folder up", target("/../users") + last, "404 200", "400"},
		{"a folder up behind a collection", target("/users/../../etc/passwd") + last, "404 200", "400 200|404 200|400"},
		{"an escaped folder up", target("/users/%2e%2e/%2e%2e/etc/passwd") + last, "404 200", "400 200|404 200|400"},
		{"a folder up with an escaped slash", target("/users/..%2f..%2fetc%2fpasswd") + last, "404 200", "400"},
		{"a folder up with backslashes", target(`/users/..\..\etc\passwd`) + last, "404 200", ""},
		{"a double escape", target("/users/%252e%252e%252fetc") + last, "404 200", ""},
		{"a file of the page's folder", target("/docs/..%2f..%2freference.go") + last, "404 200", "400"},
		{"the page's folder, escaped", target("/docs/%2e%2e/openapi.json") + last, "404 200", "404 200|200 200"},
		{"two slashes", target("//users") + last, "404 200", ""},
		{"two slashes and a host", target("//evil.example/users") + last, "404 200", ""},
		{"two slashes within", target("/users//") + last, "404 200", ""},
		{"an escaped slash in the collection", target("/us%2fers") + last, "404 200", ""},
		{"a NUL", target("/users/%00") + last, "404 200", "400|404 200|400 200"},
		{"a NUL at the end of a collection", target("/users%00") + last, "404 200", "400|404 200|400 200"},
		{"a raw NUL", target("/users/\x00") + last, "400", ""},
		{"a newline", target("/users/%0a") + last, "404 200", ""},
		{"bytes that are not UTF-8", target("/users/%ff%fe") + last, "404 200", ""},
		{"an overlong encoding of a dot", target("/users/%c0%ae%c0%ae/") + last, "404 200", ""},
		{"an invalid escape", target("/users/%zz") + last, "400", "400|400 200"},
		{"an unfinished escape", target("/users/%") + last, "400", "400|400 200"},
		{"a semicolon", target("/users;a=b") + last, "404 200", ""},
		{"a fragment", target("/users#x") + last, "404 200", "404 200|200 200"},
		{"a space", target("/users x") + last, "400", ""},
		{"no slash", target("users") + last, "400", ""},
		{"nothing", "GET  HTTP/1.1\r\nHost: a\r\n\r\n" + last, "400", ""},
		{"an asterisk", target("*") + last, "404 200", "400|400 200|404 200"},
		{"a path of 10,000 bytes", target("/users/"+strings.Repeat("a", 10_000)) + last, "404 200", ""},
		{"a path of 100,000 bytes", target("/users/"+strings.Repeat("a", 100_000)) + last, "431", "414"},
		{"a path of 3,000 folders", target(strings.Repeat("/a", 3_000)) + last, "404 200", ""},
		{"an absolute target", target("http://store.example/users?limit=1") + last, "200 200", ""},
		{"an absolute target on another host", target("http://127.0.0.1:1/users?limit=1") + last, "200 200", ""},
		{"an absolute target with credentials", target("http://a:b@store.example/nothing") + last, "404 200", "400|404 200"},
		{"an absolute target of another scheme", target("file:///etc/passwd") + last, "404 200", "400|404 200|400 200"},
		{"CONNECT", "CONNECT 127.0.0.1:9080 HTTP/1.1\r\nHost: 127.0.0.1:9080\r\n\r\n" + last, "404 200|405 200|400", "400|405|405 200"},
		{"TRACE", "TRACE /users HTTP/1.1\r\nHost: a\r\nX-Secret: reflected\r\n\r\n" + last, "405 200", "405|405 200"},
		{"a method of the client", "HELLO /users HTTP/1.1\r\nHost: a\r\n\r\n" + last, "405 200", "405|405 200|400"},
		{"a lower-case method", "get /users HTTP/1.1\r\nHost: a\r\n\r\n" + last, "405 200", "400|405 200"},
		{"a method that another one overrides", target("/users?limit=1", "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE") + last, "200 200", ""},
		{"a path that another one overrides", target("/users?limit=1", "X-Original-URL: /status", "X-Rewrite-URL: /status") + last, "200 200", ""},
		{"no host", "GET /users HTTP/1.1\r\n\r\n" + last, "400", ""},
		{"two hosts", "GET /users HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + last, "400", ""},
		{"a host with a path", "GET /users HTTP/1.1\r\nHost: a/../b\r\n\r\n" + last, "400", "400|200 200"},
		{"a host with a space", "GET /users HTTP/1.1\r\nHost: a b\r\n\r\n" + last, "400", "400|200 200"},
		{"a host with a NUL", "GET /users HTTP/1.1\r\nHost: a\x00b\r\n\r\n" + last, "400", ""},
		{"a host of the admin listener", "GET /status HTTP/1.1\r\nHost: 127.0.0.1:9080\r\n\r\n" + last, "404 200", ""},
		{"a host of 10,000 bytes", "GET /users?limit=1 HTTP/1.1\r\nHost: " + strings.Repeat("a", 10_000) + "\r\n\r\n" + last, "200 200", "200 200|400|431"},
		{"an empty host", "GET /users?limit=1 HTTP/1.1\r\nHost: \r\n\r\n" + last, "200 200", "200 200|400"},
		{"HTTP/0.9", "GET /users\r\n\r\n", "400", "400|0|200"},
		{"HTTP/3.0", "GET /users HTTP/3.0\r\nHost: a\r\n\r\n" + last, "505", "505|400"},
		{"HTTP/1.01", "GET /users HTTP/1.01\r\nHost: a\r\n\r\n" + last, "400", "400|200 200"},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "404", "400|505"},
		{"TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", "400", ""},
	}
	for _, path := range []string{"/status", "/snapshot", "/rows", "/digests", "/voids", "/verify", "/rebuild", "/metrics", "/debug/pprof/", "/livez", "/readyz", "/.import/users", "/.malformed", "/.git/config", "/@no_query"} {
		attacks = append(attacks, attack{"no client may use " + path, target(path) + last, "404 200", ""})
	}
	return attacks
}

func revealsNothing(t *testing.T, _ attack, o outcome) {
	t.Helper()
	for _, part := range []string{"root:", "package reference", "X-Secret: reflected", "data_dir", "go_goroutines"} {
		if strings.Contains(o.raw, part) {
			t.Errorf("got %q in the response %.400q, want it left out", part, o.raw)
		}
	}
	for i, header := range o.headers {
		if to := header.Get("Location"); to != "" {
			t.Errorf("got status %d and the location %q, want none", o.statuses[i], to)
		}
	}
}

func TestPathTricksDirectly(t *testing.T) {
	directly(t).withstands(t, paths(), revealsNothing)
}

func TestPathTricksThroughNginx(t *testing.T) {
	throughNginx(t).withstands(t, paths(), revealsNothing)
}
