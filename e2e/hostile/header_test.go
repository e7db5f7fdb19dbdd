package hostile_test

import (
	"regexp"
	"strings"
	"testing"
)

// get returns a read of one user with more lines.
func get(lines ...string) string {
	return "GET /users?limit=1 HTTP/1.1\r\nHost: store.example\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// headers are requests that try to break out of a header field, here or where it is reflected.
func headers() []attack {
	long := strings.Repeat("x", 20<<10)
	return []attack{
		{"a NUL in a value", get("X-Note: a\x00b") + last, "400", ""},
		{"a bare CR in a value", get("X-Note: a\rInjected: 1") + last, "400", "400|200 200"},
		{"a bare LF ends a line", get("X-Note: a\nInjected: 1") + last, "200 200", ""},
		{"a control character in a value", get("X-Note: a\x01b") + last, "400", "400|400 200"},
		{"a space in a name", get("X Note: a") + last, "400", "400|200 200"},
		{"a NUL in a name", get("X\x00Note: a") + last, "400", ""},
		{"an empty name", get(": a") + last, "400", "400|200 200"},
		{"a line without a colon", get("nonsense") + last, "400", "400|200 200"},
		{"a name with a newline in an escape", get("X-Note%0d%0aInjected: a") + last, "200 200", ""},
		{"a request id with a CR", get("X-Request-Id: a\rInjected: 1") + last, "400", "400|200 200"},
		{"a request id with an escaped newline", get("X-Request-Id: a%0d%0aInjected: 1") + last, "200 200", ""},
		{"a request id with quotes", get(`X-Request-Id: a","injected":"b`) + last, "200 200", ""},
		{"a request id with bytes beyond ASCII", get("X-Request-Id: \xc3\xa4\xe5\x98\x8a\xe5\x98\x8dInjected: 1") + last, "200 200", ""},
		{"a long request id", get("X-Request-Id: "+strings.Repeat("a", 5000)) + last, "200 200", ""},
		{"two request ids", get("X-Request-Id: first", "X-Request-Id: second") + last, "200 200", "400|200 200"},
		{"an origin with an escaped newline", get("Origin: https://a.example%0d%0aInjected:1") + last, "200 200", ""},
		{"a null origin", get("Origin: null") + last, "200 200", ""},
		{"an entity tag with an escaped newline", get(`If-None-Match: "%0d%0aInjected: 1"`) + last, "400 200", ""},
		{"an unclosed entity tag", get(`If-None-Match: "1`) + last, "400 200", ""},
		{"a list of 2,000 entity tags", get("If-None-Match: "+strings.TrimSuffix(strings.Repeat(`"1",`, 2000), ",")) + last, "200 200", ""},
		{"an entity tag with a quote", get(`If-Match: """`) + last, "200 200", ""},
		{"a consistency with an escaped newline", get("Clusterlite-Consistency: eventual%0d%0aInjected: 1") + last, "400 200", ""},
		{"a position beyond 64 bits", get("Clusterlite-Min-Position: 99999999999999999999999") + last, "400 200", ""},
		{"a negative position", get("Clusterlite-Min-Position: -1") + last, "400 200", ""},
		{"a hostile traceparent", get("traceparent: 00-"+strings.Repeat("f", 4000)) + last, "200 200", ""},
		{"a location for Nginx", get("X-Accel-Redirect: /.import/users", "Clusterlite-Try-Next: @no_query") + last, "200 200", ""},
		{"a preference that is not one", get("Prefer: ;;,=,\"") + last, "200 200", ""},
		{"an Accept of 10,000 types", get("Accept: "+strings.TrimSuffix(strings.Repeat("a/b;q=0.1,", 1500), ",")) + last, "200 200", ""},
		{"a field of 20 KiB", get("X-Note: "+long) + last, "200 200", "431|400"},
		{"100 KiB of fields", get("A: "+long, "B: "+long, "C: "+long, "D: "+long, "E: "+long) + last, "431", "431|400"},
		{"10,000 fields", get(strings.Split(strings.TrimSuffix(strings.Repeat("X-Note: a,", 10_000), ","), ",")...) + last, "431", "431|400"},
		{"an idempotency key with an escaped newline", post("Idempotency-Key: a%0d%0aInjected: 1", "Content-Length: 2") + "{}" + last, "400 200", ""},
		{"an idempotency key with a CR", post("Idempotency-Key: a\rInjected: 1", "Content-Length: 2") + "{}" + last, "400", "400|422 200|400 200"},
		{"an idempotency key of 10,000 bytes", post("Idempotency-Key: "+strings.Repeat("k", 10_000), "Content-Length: 2") + "{}" + last, "400 200", ""},
		{"a content type with a newline in an escape", "POST /users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json%0d%0aInjected: 1\r\nContent-Length: 2\r\n\r\n{}" + last, "415 200", ""},
		{"an unknown expectation", post("Expect: everything", "Content-Length: 2") + "{}" + last, "417", "417|417 200|422 200"},
		{"an authorization without a scheme", get("Authorization: \x7f") + last, "400", "400|400 200"},
		{"a hop-by-hop attack on the host", get("Connection: close, Host, X-Request-Id, Content-Length"), "200", ""},
		{"an upgrade to h2c", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA") + last, "200 200", ""},
		{"an upgrade to a websocket", get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==") + last, "200 200", ""},
		{"a request id in a path", "GET /users/a%0d%0aInjected:%201 HTTP/1.1\r\nHost: a\r\n\r\n" + last, "404 200", ""},
		{"a newline in a collection", "GET /a%0d%0aInjected:%201 HTTP/1.1\r\nHost: a\r\n\r\n" + last, "404 200", ""},
		{"a newline in a parameter's name", "GET /users?a%0d%0aInjected:%201=1 HTTP/1.1\r\nHost: a\r\n\r\n" + last, "400 200", ""},
		{"a newline in a cursor", "GET /users?cursor=a%0d%0aInjected:%201 HTTP/1.1\r\nHost: a\r\n\r\n" + last, "400 200", ""},
		{"a link with a newline", "GET /users?limit=1&name=a%0d%0aInjected:%201 HTTP/1.1\r\nHost: a\r\n\r\n" + last, "200 200", ""},
	}
}

// wellFormed are the request ids that a response may have: those of clients are limited to
// harmless characters.
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

func reflectsNothing(t *testing.T, _ attack, o outcome) {
	t.Helper()
	if regexp.MustCompile(`(?m)^Injected:`).MatchString(o.raw) {
		t.Errorf("got a line of the client in the response %.400q", o.raw)
	}
	for i, header := range o.headers {
		if id, ok := header["X-Request-Id"]; ok && !wellFormed.MatchString(strings.Join(id, " ")) {
			t.Errorf("got the request id %q, want one well-formed id", id)
		}
		if o.statuses[i] == 101 {
			t.Error("got another protocol, want HTTP/1.1")
		}
	}
}

func TestHeaderInjectionDirectly(t *testing.T) {
	directly(t).withstands(t, headers(), reflectsNothing)
}

func TestHeaderInjectionThroughNginx(t *testing.T) {
	throughNginx(t).withstands(t, headers(), reflectsNothing)
}
