package queryapi_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/servicetest"
)

// The files of the page can be cached forever, and the page itself is revalidated. A client that
// accepts gzip gets them compressed.
func TestDocumentation(t *testing.T) {
	n := newNode(t)
	page := n.get("/docs", 200)
	if got := page.Header.Get("Cache-Control"); got != "no-cache" || !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page: got %v, want no-cache and text/html", page.Header)
	}
	if policy := page.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe-eval") || !strings.Contains(policy, "script-src 'self';") || !strings.Contains(policy, "default-src 'self'") {
		t.Errorf("got the policy %q, want scripts from the node alone", policy)
	}
	if policy := strings.ReplaceAll(page.Header.Get("Content-Security-Policy"), "style-src-attr 'unsafe-inline'", ""); strings.Contains(policy, "unsafe-") || strings.Contains(policy, "http") || !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "base-uri 'none'") {
		t.Errorf("got the policy %q, want no inline content, no other host and no frames", policy)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	n.get("/docs", 304, "If-None-Match: "+page.Header.Get("ETag"))
	script := string(regexp.MustCompile(`/docs/scalar-[^"]*`).Find([]byte(servicetest.Body(t, page))))

	plain := n.get(script, 200)
	zipped := n.get(script, 200, "Accept-Encoding: br, gzip")
	for _, r := range []*http.Response{plain, zipped} {
		if got := r.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") || r.Header.Get("Vary") != "Accept-Encoding" || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/javascript") {
			t.Errorf("%s: got %v, want an immutable script that varies by Accept-Encoding", script, r.Header)
		}
	}
	if plain.Header.Get("ETag") == zipped.Header.Get("ETag") || plain.Header.Get("Content-Encoding") != "" || zipped.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %v and %v, want different tags, and gzip for the second alone", plain.Header, zipped.Header)
	}
	content := []byte(servicetest.Body(t, plain))
	r, err := gzip.NewReader(strings.NewReader(servicetest.Body(t, zipped)))
	if err != nil {
		t.Fatal(err)
	}
	if unzipped, err := io.ReadAll(r); err != nil || !bytes.Equal(unzipped, content) || len(content) < 1<<20 {
		t.Errorf("got a script of %d bytes, %v, want the same as without compression", len(unzipped), err)
	}
	for _, field := range []string{"gzip;q=0", "br", "identity", "gzip;q=x", "*;q=0"} {
		if got := n.get(script, 200, "Accept-Encoding: "+field).Header.Get("Content-Encoding"); got != "" {
			t.Errorf("Accept-Encoding: %s: got %s, want no Content-Encoding", field, got)
		}
	}
	n.get(script, 304, "Accept-Encoding: gzip", "If-None-Match: "+zipped.Header.Get("ETag"))
	n.get(script, 200, "Accept-Encoding: gzip", "If-None-Match: "+plain.Header.Get("ETag"))
	n.get("/docs/LICENSE.scalar.txt", 200)
	for _, path := range []string{"/docs/nothing", "/docs/..%2froot.go", "/docs/scalar.js", "/docs/files/page.html"} {
		n.get(path, 404)
	}
}

// The description changes only with the collections, so a client that has it can revalidate it.
func TestTheDescriptionIsRevalidated(t *testing.T) {
	n := newNode(t)
	first := n.get("/openapi.json", 200)
	etag := first.Header.Get("ETag")
	if !strings.HasPrefix(etag, `"`) || first.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("got the header %v, want a strong tag and no-cache", first.Header)
	}
	n.created(1)
	again := n.get("/openapi.json", 304, "If-None-Match: "+etag)
	if again.Header.Get("ETag") != etag || again.Header.Get("Clusterlite-Position") == "" {
		t.Errorf("304: got the header %v, want the same tag and a position", again.Header)
	}
	n.get("/openapi.json", 304, `If-None-Match: W/"x", W/`+etag)
	n.get("/openapi.json", 200, `If-None-Match: "x"`)
	n.get("/openapi.json", 400, `If-None-Match: x`)
	other := n.get("/", 200).Header.Get("ETag")
	if other == "" || other == etag {
		t.Errorf("got the tag %q for the list of collections, want another one", other)
	}
	n.get("/", 304, "If-None-Match: "+other)
}
