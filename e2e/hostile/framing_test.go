package hostile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/suite"
)

// smuggled is a request that must never be executed: it hides in the body of another one.
const smuggled = "POST /users HTTP/1.1\r\nHost: store.example\r\nContent-Type: application/json\r\nContent-Length: 48\r\n\r\n" +
	`{"name":"smuggled","email":"smuggled@a.example"}`

// post returns the header of a request that creates a user, with more lines.
func post(lines ...string) string {
	return "POST /users HTTP/1.1\r\nHost: store.example\r\nContent-Type: application/json\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// framing are requests whose end two servers may see at different places.
func framing() []attack {
	user := func() string { return suite.UserBody("Ada", suite.Email()) }
	length := func(s string) string { return fmt.Sprintf("Content-Length: %d", len(s)) }
	chunked := func(s string) string { return chunk(s) + "0\r\n\r\n" }
	one, other := user(), user()
	return []attack{
		{"both lengths, and the chunks end first", post("Content-Length: 4", "Transfer-Encoding: chunked") + chunked(user()) + last, "201", "400"},
		{"both lengths, and the length ends first", post("Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n" + last, "400", "400"},
		{"a request hidden behind a length", post("Transfer-Encoding: chunked", length("0\r\n\r\n"+smuggled)) + chunk(smuggled) + "0\r\n\r\n" + last, "400", "400"},
		{"two lengths", post("Content-Length: 0", length(smuggled)) + smuggled + last, "400", ""},
		{"two lengths, the larger first", post(length(smuggled), "Content-Length: 0") + smuggled + last, "400", ""},
		{"a list of lengths", post("Content-Length: 0, "+fmt.Sprint(len(smuggled))) + smuggled + last, "400", ""},
		{"the same length twice", post(length(one), length(one)) + one + last, "201 200", "400|201 200"},
		{"a signed length", post("Content-Length: +5") + "hello" + last, "400", ""},
		{"a negative length", post("Content-Length: -1") + last, "400", ""},
		{"a hexadecimal length", post("Content-Length: 0x5") + "hello" + last, "400", ""},
		{"a fractional length", post("Content-Length: 5.0") + "hello" + last, "400", ""},
		{"an empty length", post("Content-Length: ") + last, "400", ""},
		{"a length beyond 64 bits", post("Content-Length: 99999999999999999999999") + last, "400", "400"},
		{"a length of 9 EB", post("Content-Length: 9223372036854775807") + last, "413", ""},
		{"a space before the colon of the length", post("Content-Length : 5") + "hello" + last, "400", ""},
		{"a space before the colon of the coding", post("Transfer-Encoding : chunked", "Content-Length: 5") + "hello" + last, "400", ""},
		{"a tab before the coding", post("Transfer-Encoding:\tchunked") + chunked(user()) + last, "201", "501|201 200"},
		{"a vertical tab before the coding", post("Transfer-Encoding: \x0bchunked", length(one)) + one + last, "400", "400|501"},
		{"a NUL in the coding", post("Transfer-Encoding: chunked\x00", length(one)) + one + last, "400", "400"},
		{"a bare CR in the coding", post("Transfer-Encoding: chunked\rX: y", length(one)) + one + last, "400", "400"},
		{"an unknown coding", post("Transfer-Encoding: xchunked", length(one)) + one + last, "501", "501"},
		{"identity and a length", post("Transfer-Encoding: identity", length(one)) + one + last, "501", "501"},
		{"chunked is not the last coding", post("Transfer-Encoding: chunked, identity", length(one)) + one + last, "501", "501"},
		{"chunked twice", post("Transfer-Encoding: chunked, chunked") + chunked(one) + last, "501", "501"},
		{"two codings", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + chunked(one) + last, "501", "400|501"},
		{"an empty coding", post("Transfer-Encoding: ", length(one)) + one + last, "501", "501"},
		{"a quoted coding", post(`Transfer-Encoding: "chunked"`, length(one)) + one + last, "501", "501"},
		{"a folded coding", post("Transfer-Encoding:\r\n chunked", length(one)) + one + last, "400", "400"},
		{"a folded length", post("Content-Length:\r\n 0", length(smuggled)) + smuggled + last, "400", ""},
		{"a folded field", post("X-Note: a\r\n b", length(other)) + other + last, "201 200", "400"},
		{"a field before the host that begins with a space", "GET /users HTTP/1.1\r\n Host: x\r\nHost: store.example\r\n\r\n" + last, "400", ""},
		{"lines that end with LF alone", strings.ReplaceAll(post("Content-Length: 0"), "\r\n", "\n") + last, "400 200", "400 200"},
		{"a chunk size that ends with LF alone", post("Transfer-Encoding: chunked") + "5\nhello\r\n0\r\n\r\n" + last, "400", "400|400 200"},
		{"a chunk size in an invalid notation", post("Transfer-Encoding: chunked") + "0x5\r\nhello\r\n0\r\n\r\n" + last, "400", ""},
		{"a negative chunk size", post("Transfer-Encoding: chunked") + "-5\r\nhello\r\n0\r\n\r\n" + last, "400", ""},
		{"a chunk size beyond 64 bits", post("Transfer-Encoding: chunked") + "fffffffffffffffff\r\nhello\r\n0\r\n\r\n" + last, "400", "400"},
		{"a chunk that is longer than its size", post("Transfer-Encoding: chunked") + "1\r\nhello\r\n0\r\n\r\n" + last, "400", ""},
		{"a chunk extension with LF", post("Transfer-Encoding: chunked") + "5;a\nGET /x HTTP/1.1\r\nhello\r\n0\r\n\r\n" + last, "400", ""},
		{"64 KiB of chunk extension", post("Transfer-Encoding: chunked") + "5;" + strings.Repeat("a", 64<<10) + "\r\nhello\r\n0\r\n\r\n" + last, "400", "400 200|400"},
		{"a length among the trailers", post("Transfer-Encoding: chunked", "Trailer: Content-Length") + chunk(user()) + "0\r\nContent-Length: 50\r\n\r\n" + last, "400", "201 200|400"},
		{"a body of GET hides a request", "GET /users?limit=1 HTTP/1.1\r\nHost: store.example\r\n" + length(smuggled) + "\r\n\r\n" + smuggled + last, "200 200", ""},
		{"a body of HEAD hides a request", "HEAD /users?limit=1 HTTP/1.1\r\nHost: store.example\r\nConnection: close\r\n" + length(smuggled) + "\r\n\r\n" + smuggled, "200", ""},
		{"a body of DELETE hides a request", "DELETE /users/nothing HTTP/1.1\r\nHost: store.example\r\n" + length(smuggled) + "\r\n\r\n" + smuggled + last, "404 200", ""},
		{"a rejected request with a body", "POST /nothing HTTP/1.1\r\nHost: store.example\r\n" + length(smuggled) + "\r\n\r\n" + smuggled + last, "404 200", "404 200"},
		{"chunked in HTTP/1.0", "POST /users HTTP/1.0\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n" + chunked(smuggled) + last, "400 400", "400|501"},
	}
}

// notSmuggled checks that no hidden request was executed.
func (r rig) notSmuggled(t *testing.T) {
	t.Helper()
	for _, u := range (suite.Target{URL: r.URL}).Do(t, "GET", "/users?email=smuggled@a.example", "").Want(t, 200).List(t) {
		t.Errorf("got the user %+v, want none: a hidden request was executed", u)
	}
}

func TestRequestFramingDirectly(t *testing.T) {
	r := directly(t)
	r.withstands(t, framing(), func(t *testing.T, _ attack, _ outcome) { r.notSmuggled(t) })
}

func TestRequestFramingThroughNginx(t *testing.T) {
	r := throughNginx(t)
	r.withstands(t, framing(), func(t *testing.T, _ attack, _ outcome) { r.notSmuggled(t) })
}
