package hostile_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/clusterlite/clusterlite/e2e/suite"
)

// zeros returns so many zero bytes, compressed.
func zeros(t *testing.T, coding string, n int64) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if coding == "zstd" {
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	piece := make([]byte, 1<<20)
	for ; n > 0; n -= int64(len(piece)) {
		if _, err := w.Write(piece[:min(n, int64(len(piece)))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func compressed(coding, kind, body string) string {
	return fmt.Sprintf("POST /users HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", kind, coding, len(body), body)
}

func bombs(t *testing.T) []attack {
	t.Helper()
	const document, lines = "application/json", "application/x-ndjson"
	zipped, standard := zeros(t, "gzip", 64<<20), zeros(t, "zstd", 64<<20)
	var twice bytes.Buffer
	w := gzip.NewWriter(&twice)
	_, _ = io.WriteString(w, zipped) // a buffer takes everything
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// A frame that declares a window, or a content, of exabytes.
	window := "\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00"
	content := "\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x00\x00"
	empty := "\x28\xb5\x2f\xfd\x00\x48" + strings.Repeat("\x00\x00\x00", 300_000)
	return []attack{
		{"64 MiB of zeros, gzip", compressed("gzip", document, zipped) + last, "413 200|413", ""},
		{"64 MiB of zeros, zstd", compressed("zstd", document, standard) + last, "400 200|413 200", ""},
		{"a bomb in a bomb", compressed("gzip", document, twice.String()) + last, "400 200|400", ""},
		{"two codings", compressed("gzip, gzip", document, twice.String()) + last, "415 200|415", ""},
		{"a coding in two fields", compressed("gzip\r\nContent-Encoding: gzip", document, twice.String()) + last, "415 200|415", "415 200|415|400"},
		{"an unknown coding", compressed("br", document, "{}") + last, "415 200", ""},
		{"a window of exabytes", compressed("zstd", document, window) + last, "400 200|413 200", ""},
		{"a content of exabytes", compressed("zstd", document, content) + last, "400 200|413 200", ""},
		{"300,000 empty blocks", compressed("zstd", document, empty) + last, "400 200|413 200|400|413", ""},
		{"a gzip header and nothing else", compressed("gzip", document, zipped[:10]) + last, "400 200", ""},
		{"a cut gzip stream", compressed("gzip", document, zeros(t, "gzip", 1000)[:20]) + last, "400 200", ""},
		{"bytes after the gzip stream", compressed("gzip", document, zeros(t, "gzip", 10)+"garbage") + last, "400 200", ""},
		{"an import of zeros, gzip", compressed("gzip", lines, zipped) + last, "200", "200|200 200"},
		{"an import of zeros, zstd", compressed("zstd", lines, standard) + last, "200", "200|200 200"},
		{"an import of an endless line", fmt.Sprintf("POST /users HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", lines, 8<<20) + strings.Repeat("a", 8<<20) + last, "200 200|413 200|413|200", ""},
	}
}

// memory returns the resident memory of the process in MiB.
func (r rig) memory(t *testing.T) int {
	t.Helper()
	response, err := http.Get(r.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "process_resident_memory_bytes "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n / (1 << 20))
		}
	}
	t.Fatal("got no process_resident_memory_bytes")
	return 0
}

// maxMemory is below what the bombs expand to together, and above what a process takes that
// decompresses none of them as a whole.
const maxMemory = 700

func (r rig) withstandsBombs(t *testing.T) {
	t.Helper()
	all := bombs(t)
	r.withstands(t, all, nil)
	var wg sync.WaitGroup
	for range 4 {
		for _, a := range all[:4] {
			wg.Go(func() { _ = r.exchange(t, a.raw) })
		}
	}
	wg.Wait()
	if got := r.memory(t); got > maxMemory {
		t.Errorf("got %d MiB of resident memory after bombs, want at most %d", got, maxMemory)
	}
	r.serves(t)
}

func TestBombsDirectly(t *testing.T)     { directly(t).withstandsBombs(t) }
func TestBombsThroughNginx(t *testing.T) { throughNginx(t).withstandsBombs(t) }

// documents are bodies that are expensive or ambiguous to parse.
func documents() []attack {
	members := func(n int, value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":%s`, i, value)
		}
		return b.String()
	}
	user := func(more string) string {
		return strings.TrimSuffix(suite.UserBody("Ada", suite.Email()), "}") + more + "}"
	}
	a := func(name, body, want string) attack {
		return attack{name, post(fmt.Sprintf("Content-Length: %d", len(body))) + body + last, want, ""}
	}
	return []attack{
		a("900,000 digits", user(`,"n":`+strings.Repeat("9", 900_000)), "422 200"),
		a("900,000 digits after the point", user(`,"n":0.`+strings.Repeat("9", 900_000)), "422 200"),
		a("an exponent of 900,000 digits", user(`,"n":1e`+strings.Repeat("9", 900_000)), "422 200"),
		a("a huge exponent", user(`,"n":1e999999999`), "422 200"),
		a("a tiny exponent", user(`,"n":1e-999999999`), "422 200"),
		a("minus zero", user(`,"n":-0`), "201 200|422 200"),
		a("NaN", user(`,"n":NaN`), "400 200"),
		a("a hexadecimal number", user(`,"n":0x10`), "400 200"),
		a("a leading zero", user(`,"n":010`), "400 200"),
		a("100,000 open objects", strings.Repeat(`{"a":`, 100_000), "400 200"),
		a("100,000 open arrays", strings.Repeat(`[`, 100_000), "400 200"),
		a("100,000 levels", `{"a":`+strings.Repeat(`[`, 100_000)+strings.Repeat(`]`, 100_000)+`}`, "400 200|422 200"),
		a("50,000 members", user(members(50_000, "1")), "422 200"),
		a("50,000 members of a number as text", user(members(50_000, `"1e9"`)), "422 200"),
		a("the same member twice", `{"name":"a","name":"b","email":"c@a.example"}`, "400 200"),
		a("the same member, escaped", `{"name":"a","n\u0061me":"b","email":"c@a.example"}`, "400 200"),
		a("50,000 times the same member", `{"name":"a","email":"c@a.example"`+strings.Repeat(`,"a":1`, 50_000)+`}`, "400 200"),
		a("members that differ in case", `{"name":"a","NAME":"b","email":"c@a.example"}`, "422 200|201 200"),
		a("a member of the store", user(`,"id":"x","version":9,"created_at":"x"`), "422 200|201 200"),
		a("a prototype", user(`,"__proto__":{"admin":true},"constructor":1`), "422 200|201 200"),
		a("an empty name of a member", user(`,"":1`), "422 200|201 200"),
		a("a name of a member of 900,000 bytes", user(`,"`+strings.Repeat("k", 900_000)+`":1`), "422 200"),
		a("invalid UTF-8 in a name", user(",\"\xff\":1"), "400 200"),
		a("a lone surrogate in a name", user(`,"\udc00":1`), "400 200"),
		a("surrogates in the wrong order", user(`,"a":"\udc00\ud800"`), "400 200"),
		a("an overlong encoding", user(",\"a\":\"\xc0\xaf\""), "400 200"),
		a("a raw newline in a string", user(",\"a\":\"\n\""), "400 200"),
		a("an escaped NUL", user(`,"a":"\u0000"`), "422 200|201 200|400 200"),
		a("a comment", user(`/* x */`), "400 200"),
		a("a trailing comma", user(`,`), "400 200"),
		a("a second document", user("")+"{}", "400 200"),
		a("900,000 backslashes", user(`,"a":"`+strings.Repeat(`\\`, 450_000)+`"`), "422 200|201 200"),
		a("900,000 spaces", strings.Repeat(" ", 900_000)+"{}", "422 200"),
	}
}

func TestJSONDirectly(t *testing.T)     { directly(t).withstands(t, documents(), nil) }
func TestJSONThroughNginx(t *testing.T) { throughNginx(t).withstands(t, documents(), nil) }
