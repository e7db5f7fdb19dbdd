package suite

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// plain returns the body of an answer after decoding its Content-Encoding.
func (r Response) plain(t *testing.T) string {
	t.Helper()
	if r.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("got the unexpected Content-Encoding %q", r.Header.Get("Content-Encoding"))
	}
	in, err := gzip.NewReader(bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// raw sends a request whose answer the client does not decompress.
func (target Target) raw(t *testing.T, method, path string, headers ...string) Response {
	t.Helper()
	r, err := newRequest(method, target.URL+path, "", headers...)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := send(r) // net/http does not decompress it, because Accept-Encoding is set
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func codings(t *testing.T, target Target) {
	const accept = "Accept-Encoding: gzip"
	large := marshal(t, Product{SKU: SKU(), Name: "Tea", Price: 1})
	large = strings.TrimSuffix(large, "}") + `,"attributes":{"x":"` + strings.Repeat("x", 2000) + `"}}`
	path := target.Do(t, "POST", "/products", large).Want(t, 201).Header.Get("Location")
	before := target.raw(t, "GET", path, "Accept-Encoding: identity").Want(t, 200)

	t.Run("a compressed answer has a strong tag of its own", func(t *testing.T) {
		if before.Header.Get("Content-Encoding") != "" || before.Header.Get("ETag") != `"1"` || !listed(strings.Join(before.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("not compressed: got the header %v, want ETag \"1\" and Vary", before.Header)
		}
		r := target.raw(t, "GET", path, accept).Want(t, 200)
		if r.plain(t) != string(before.Body) || r.Header.Get("ETag") != `"1-gzip"` || !listed(strings.Join(r.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("compressed: got the header %v, want ETag \"1-gzip\", Vary and the same content", r.Header)
		}
		if h := target.raw(t, "HEAD", path, accept).Header; h.Get("ETag") != `"1-gzip"` || h.Get("Content-Encoding") != "gzip" || h.Get("Content-Length") != r.Header.Get("Content-Length") {
			t.Errorf("HEAD: got the header %v, want that of GET", h)
		}
		for _, tag := range []string{`"1-gzip"`, `"1"`, `W/"1-gzip"`} {
			if r := target.raw(t, "GET", path, accept, "If-None-Match: "+tag).Want(t, 304); strings.HasPrefix(r.Header.Get("ETag"), "W/") {
				t.Errorf("%s: got the header %v, want a strong ETag", tag, r.Header)
			}
		}
	})
	t.Run("lists and streams", func(t *testing.T) {
		for _, header := range []string{"Accept: application/json", "Accept: " + ndjson} {
			list := "/products?fields=sku,attributes&limit=1&sku=" + before.product(t).SKU
			want := target.raw(t, "GET", list, header, "Accept-Encoding: identity").Want(t, 200)
			got := target.raw(t, "GET", list, header, accept).Want(t, 200)
			if got.plain(t) != string(want.Body) || len(got.Body) >= len(want.Body) {
				t.Errorf("%s: %d bytes of %d: %v", header, len(got.Body), len(want.Body), got.Header)
			}
		}
		if r := target.raw(t, "GET", "/openapi.json", accept).Want(t, 200); !strings.HasPrefix(r.plain(t), "{") {
			t.Errorf("the description: got no JSON object, with the header %v", r.Header)
		}
	})
	t.Run("small answers and problems are uncompressed", func(t *testing.T) {
		for _, path := range []string{"/users/" + target.Create(t, "Ada").ID, absent} {
			if h := target.raw(t, "GET", path, accept).Header; h.Get("Content-Encoding") != "" {
				t.Errorf("%s: got the header %v, want no Content-Encoding", path, h)
			}
		}
	})
	t.Run("every form of the tag matches the version", func(t *testing.T) {
		for i, tag := range []string{`"1"`, `"2-gzip"`, `"3-zstd"`} {
			if r := target.Do(t, "PATCH", path, `{"name":"`+Key()+`"}`, "If-Match: "+tag).Want(t, 200); !strings.HasPrefix(r.Header.Get("ETag"), `"`) {
				t.Errorf("%d: got ETag %s, want a strong one", i+2, r.Header.Get("ETag"))
			}
		}
		p := target.Do(t, "PATCH", path, `{"name":"x"}`, `If-Match: W/"4"`).Problem(t, 412, "version-mismatch")
		if !strings.Contains(p.Detail, `W/"4"`) || !strings.Contains(p.Detail, "proxy") {
			t.Errorf("a weak tag: got the detail %s, want the tag and the reason", p.Detail)
		}
		for _, tag := range []string{"4", `"4`, `*, "4"`, `w/"4"`, `"4" "5"`} {
			target.Do(t, "PATCH", path, `{"name":"x"}`, "If-Match: "+tag).Problem(t, 400, "malformed-request")
		}
	})
	t.Run("bodies may be compressed", func(t *testing.T) {
		const coded = "Content-Encoding: gzip"
		body, key := UserBody("Ada", Email()), "Idempotency-Key: "+Key()
		first := target.Do(t, "POST", "/users", gzipped(t, body), coded, key).Want(t, 201)
		target.Do(t, "POST", "/users", body, key).Same(t, first)
		path := first.Header.Get("Location")
		target.Do(t, "PATCH", path, gzipped(t, `{"name":"Grace"}`), coded).Want(t, 200)
		for _, coding := range []string{"br", "deflate", "compress", "gzip, gzip", "x"} {
			r := target.Do(t, "PUT", path, body, "Content-Encoding: "+coding)
			if r.Problem(t, 415, "unsupported-media-type"); r.Header.Get("Accept-Encoding") != "gzip, zstd, identity" {
				t.Errorf("%s: got Accept-Encoding %q, want gzip, zstd, identity", coding, r.Header.Get("Accept-Encoding"))
			}
		}
		target.Do(t, "PUT", path, body, coded).Problem(t, 400, "malformed-request")
		target.Do(t, "PUT", path, gzipped(t, body)[:20], coded).Problem(t, 400, "malformed-request")
		target.Do(t, "PUT", path, gzipped(t, body+strings.Repeat(" ", 64<<20)), coded).Problem(t, 413, "body-too-large")
		target.Do(t, "PUT", path, body, "Content-Encoding: identity").Want(t, 200)
	})
	t.Run("imports may be compressed", func(t *testing.T) {
		var lines strings.Builder
		for range 100 {
			lines.WriteString(UserBody("Ada", Email()) + "\n")
		}
		headers := []string{"Content-Type: " + ndjson, "Content-Encoding: gzip"}
		whole := Lines[LineResult](t, target.Do(t, "POST", "/users", gzipped(t, lines.String()), headers...).Want(t, 200))
		if len(whole) != 100 || slices.ContainsFunc(whole, func(l LineResult) bool { return l.Status != 201 }) {
			t.Errorf("got %+v, want 100 results with status 201", whole)
		}
		body := gzipped(t, lines.String())
		cut := Lines[LineResult](t, target.Do(t, "POST", "/users", body[:len(body)-10], headers...).Want(t, 200))
		if last := cut[len(cut)-1]; last.Status != 400 || !strings.Contains(last.Detail, "gzip") || last.Line != int64(len(cut)) {
			t.Errorf("truncated: got the last result %+v, want status 400 because of gzip", last)
		}
	})
	t.Run("accepted media types are listed", func(t *testing.T) {
		h := target.Do(t, "OPTIONS", path, "").Want(t, 204).Header
		if !listed(h.Get("Accept-Patch"), "application/merge-patch+json") || !listed(h.Get("Accept-Patch"), "application/json") {
			t.Errorf("got Accept-Patch %q, want both types of patches", h.Get("Accept-Patch"))
		}
		if h := target.Do(t, "OPTIONS", "/users", "").Want(t, 204).Header; !listed(h.Get("Accept-Post"), ndjson) {
			t.Errorf("got Accept-Post %q, want %s in it", h.Get("Accept-Post"), ndjson)
		}
		if r := target.Do(t, "PATCH", path, "x", "Content-Type: text/plain"); r.Header.Get("Accept-Patch") == "" {
			r.Problem(t, 415, "unsupported-media-type")
			t.Errorf("415: got the header %v, want Accept-Patch", r.Header)
		}
	})
	t.Run("dates", func(t *testing.T) {
		fresh := target.Create(t, "Ada")
		path := "/users/" + fresh.ID
		modified := target.Do(t, "GET", path, "").Want(t, 200).Header.Get("Last-Modified")
		target.Do(t, "GET", path, "", "If-Modified-Since: "+modified).Want(t, 304)
		target.Do(t, "HEAD", path, "", "If-Modified-Since: "+modified).Want(t, 304)
		target.Do(t, "GET", path, "", "If-Modified-Since: "+modified, `If-None-Match: "9"`).Want(t, 200)
		target.Do(t, "GET", path, "", "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT").Want(t, 200)
		// The change usually happens within the same second, so the date proves nothing.
		target.Do(t, "PATCH", path, `{"name":"Grace"}`).Want(t, 200)
		if got := target.Do(t, "GET", path, "", "If-Modified-Since: "+modified).Want(t, 200).Entity(t); got.Name != "Grace" {
			t.Errorf("got %+v, want the name Grace", got)
		}
		target.Do(t, "GET", path, "", `If-Match: "1"`).Problem(t, 412, "version-mismatch")
		target.Do(t, "GET", path, "", `If-Match: "2"`).Want(t, 200)
	})
	t.Run("a path ends where its resource does", func(t *testing.T) {
		for _, path := range []string{"/users/a/b/c", path + "/x", path + "/", "/nothing/a/b"} {
			for _, method := range []string{http.MethodGet, http.MethodOptions, http.MethodDelete} {
				if p := target.Do(t, method, path, "").Problem(t, 404, "not-found"); strings.Contains(p.Detail, "id") {
					t.Errorf("%s %s: got the detail %s, want no word about an id", method, path, p.Detail)
				}
			}
		}
	})
}

func (r Response) product(t *testing.T) (p Product) {
	t.Helper()
	return Lines[Product](t, Response{Header: http.Header{"Content-Type": {ndjson}}, Body: append(slices.Clone(r.Body), '\n')})[0]
}
