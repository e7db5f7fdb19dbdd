package web_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/negotiation"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func gzipped(t testing.TB, text string) string {
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

func zstandard(t testing.TB, text string, options ...zstd.EOption) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, options...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// plain decodes a response as its Content-Encoding says.
func plain(t testing.TB, r *http.Response) string {
	t.Helper()
	switch r.Header.Get("Content-Encoding") {
	case "":
		return servicetest.Body(t, r)
	case "gzip":
		in, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	case "zstd":
		in, err := zstd.NewReader(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Fatalf("got Content-Encoding %q, want gzip, zstd or none", r.Header.Get("Content-Encoding"))
	return ""
}

// echoBody returns a server whose POST returns the body, whole or as a stream.
func echoBody(options web.Options) *echo.Echo {
	e := servicetest.Echo(options)
	web.Mount(e, things, web.Handlers{"POST": func(c echo.Context) error {
		if web.IsStream(c.Request()) {
			in, err := web.BodyStream(c)
			if err != nil {
				return err
			}
			n, err := io.Copy(io.Discard, in)
			if err != nil {
				return err
			}
			return c.String(200, fmt.Sprint(n))
		}
		b, err := web.ReadBody(c)
		if err != nil {
			return err
		}
		return c.Blob(200, "text/plain", b)
	}})
	return e
}

func TestCodedBodies(t *testing.T) {
	const most = 100_000
	e := echoBody(web.Options{MaxBody: most})
	text := strings.Repeat(`{"a":1}`, 1000)
	full, over := strings.Repeat("x", most), strings.Repeat("x", most+1)
	for name, c := range map[string]struct {
		coding, body string
		status       int
		want         string
	}{
		"gzip":                        {"gzip", gzipped(t, text), 200, text},
		"x-gzip, in capitals":         {"X-GZIP", gzipped(t, text), 200, text},
		"zstd":                        {"zstd", zstandard(t, text), 200, text},
		"zstd with a window of 8 MiB": {"zstd", zstandard(t, text, zstd.WithWindowSize(8<<20)), 200, text},
		"zstd of a larger window":     {"zstd", zstandard(t, over+over, zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(false)), 400, "8 MiB"},
		"identity":                    {"identity", text, 200, text},
		"identity and gzip":           {"identity, gzip", gzipped(t, text), 200, text},
		"members after each other":    {"gzip", gzipped(t, "ab") + gzipped(t, "c"), 200, "abc"},
		"frames after each other":     {"zstd", zstandard(t, "ab") + zstandard(t, "c"), 200, "abc"},
		"the largest, gzip":           {"gzip", gzipped(t, full), 200, full},
		"the largest, zstd":           {"zstd", zstandard(t, full), 200, full},
		"one more, gzip":              {"gzip", gzipped(t, over), 413, "body-too-large"},
		"one more, zstd":              {"zstd", zstandard(t, over), 413, "body-too-large"},
		"a bomb, gzip":                {"gzip", gzipped(t, strings.Repeat("x", 8<<20)), 413, "body-too-large"},
		"a bomb, zstd":                {"zstd", zstandard(t, strings.Repeat("x", 8<<20)), 413, "body-too-large"},
		"endless empty members, gzip": {"gzip", strings.Repeat(gzipped(t, ""), 100_000), 413, "body-too-large"},
		"endless empty frames, zstd":  {"zstd", strings.Repeat("\x50\x2a\x4d\x18\x00\x00\x00\x00", 100_000), 413, "body-too-large"},
		"cut, gzip":                   {"gzip", gzipped(t, text)[:30], 400, "is incomplete"},
		"cut, zstd":                   {"zstd", zstandard(t, text)[:20], 400, "zstd data"},
		"not gzip":                    {"gzip", text, 400, "is corrupt"},
		"not zstd":                    {"zstd", text, 400, "is corrupt"},
		"more after gzip":             {"gzip", gzipped(t, text) + "x", 400, "gzip data"},
		"br":                          {"br", text, 415, "unsupported-media-type"},
		"deflate":                     {"deflate", text, 415, "unsupported-media-type"},
		"two codings":                 {"gzip, zstd", text, 415, "unsupported-media-type"},
		"gzip twice":                  {"gzip, gzip", gzipped(t, gzipped(t, text)), 415, "unsupported-media-type"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				r, err := http.NewRequest("POST", "http://x/things", strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				if chunked {
					r.ContentLength = -1
				}
				r.Header.Set("Content-Encoding", c.coding)
				got := servicetest.Serve(e, r)
				body := servicetest.Body(t, got)
				if got.StatusCode != c.status || c.status == 200 && body != c.want || !strings.Contains(body, c.want) {
					t.Errorf("got %d %.200s, want %d %.100s", got.StatusCode, body, c.status, c.want)
				}
				if accept := got.Header.Get("Accept-Encoding"); (accept == "gzip, zstd, identity") != (c.status == 415) {
					t.Errorf("got Accept-Encoding %q, want the codings in a response of 415, and none otherwise", accept)
				}
			}
		})
	}
}

// The size of a stream is limited only in proportion to the bytes that are sent.
func TestCodedStreams(t *testing.T) {
	e := echoBody(web.Options{MaxBody: 1000})
	lines := strings.Builder{}
	for i := range 30_000 {
		fmt.Fprintf(&lines, "{\"name\":\"N%d\",\"email\":\"u%d@example.com\"}\n", i, i*7919%1_000_003)
	}
	for name, c := range map[string]struct {
		coding, body string
		status       int
		want         string
	}{
		"gzip":         {"gzip", gzipped(t, lines.String()), 200, fmt.Sprint(lines.Len())},
		"zstd":         {"zstd", zstandard(t, lines.String()), 200, fmt.Sprint(lines.Len())},
		"a bomb, gzip": {"gzip", gzipped(t, strings.Repeat("\n", 24<<20)), 413, "times its compressed size"},
		"a bomb, zstd": {"zstd", zstandard(t, strings.Repeat("\n", 24<<20)), 413, "times its compressed size"},
		"cut, gzip":    {"gzip", gzipped(t, lines.String())[:1000], 400, "is incomplete"},
		"cut, zstd":    {"zstd", zstandard(t, lines.String())[:1000], 400, "zstd data"},
		"not gzip":     {"gzip", "nothing", 400, "gzip data"},
		"nothing":      {"gzip", "", 400, "gzip data"},
		"br":           {"br", "", 415, "unsupported-media-type"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest("POST", "http://x/things", io.MultiReader(strings.NewReader(c.body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Encoding", c.coding)
			r.Header.Set("Content-Type", "application/x-ndjson")
			got := servicetest.Serve(e, r)
			if body := servicetest.Body(t, got); got.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %.200s, want %d %s", got.StatusCode, body, c.status, c.want)
			}
		})
	}
}

// Decompressed data takes memory of the account. Of many small bodies that expand to large ones,
// only a few are read at once, and all of the memory is given back.
func TestMemoryOfCodedBodies(t *testing.T) {
	const most = 1 << 20
	e := echoBody(web.Options{MaxBody: most, Limits: web.Limits{Requests: 100, Memory: 64 * most}})
	for _, c := range [][2]string{{"gzip", gzipped(t, strings.Repeat("x", most))}, {"zstd", zstandard(t, strings.Repeat("x", most))}} {
		for range 20 {
			if r := servicetest.Do(e, "POST", "/things", c[1], "Content-Encoding: "+c[0]); r.StatusCode != 200 {
				t.Fatalf("%s: got %d %s, want 200", c[0], r.StatusCode, servicetest.Body(t, r))
			}
		}
	}
	small := echoBody(web.Options{MaxBody: most, Limits: web.Limits{Requests: 100, Memory: most / 2}})
	for _, c := range [][2]string{{"gzip", gzipped(t, strings.Repeat("x", most))}, {"zstd", zstandard(t, strings.Repeat("x", most))}} {
		if r := servicetest.Do(small, "POST", "/things", c[1], "Content-Encoding: "+c[0]); r.StatusCode != 503 {
			t.Errorf("%s with little memory: got %d, want 503", c[0], r.StatusCode)
		}
	}
}

// A client that waits for 100 Continue is rejected because of its header, before it sends the body.
func TestRejectedBeforeTheBody(t *testing.T) {
	e := servicetest.Echo(web.Options{MaxBody: 100})
	web.Mount(e, things, web.Handlers{"POST": func(c echo.Context) error {
		if _, err := negotiation.ContentType(c.Request(), "application/json"); err != nil {
			return err
		}
		b, err := web.ReadBody(c)
		if err != nil {
			return err
		}
		return c.Blob(200, "text/plain", b)
	}})
	addr := listening(t, e, 10)
	for name, c := range map[string]struct{ path, header, first string }{
		"a good one":       {"/things", "Content-Type: application/json\r\nContent-Length: 2", "100"},
		"too large":        {"/things", "Content-Type: application/json\r\nContent-Length: 101", "413"},
		"another type":     {"/things", "Content-Type: text/plain\r\nContent-Length: 2", "415"},
		"another coding":   {"/things", "Content-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 2", "415"},
		"no such path":     {"/nothing", "Content-Type: application/json\r\nContent-Length: 2", "404"},
		"chunks":           {"/things", "Content-Type: application/json\r\nTransfer-Encoding: chunked", "100"},
		"chunks, rejected": {"/things", "Content-Type: text/plain\r\nTransfer-Encoding: chunked", "415"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, addr)
			send(t, conn, "POST "+c.path+" HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+c.header+"\r\n\r\n")
			in := bufio.NewReader(conn)
			line, err := in.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+c.first) {
				t.Fatalf("got the first line %q, %v, want %s", line, err, c.first)
			}
			if name == "a good one" {
				send(t, conn, "{}")
				for line = ""; !strings.HasPrefix(line, "HTTP/1.1"); {
					if line, err = in.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
				if !strings.HasPrefix(line, "HTTP/1.1 200") {
					t.Errorf("got %q after the body, want HTTP/1.1 200", line)
				}
			}
		})
	}
}

func TestCompressedAnswers(t *testing.T) {
	large := strings.Repeat(`{"name":"Ada"},`, 500)
	handlers := func(body, etag string) web.Handlers {
		h := func(c echo.Context) error {
			if etag != "" {
				c.Response().Header().Set("ETag", etag)
			}
			return web.Answer(c, 200, "application/json", []byte(body))
		}
		return web.Handlers{"GET": h, "HEAD": h}
	}
	for _, c := range []struct {
		accept, coding string
	}{
		{"", ""}, {"gzip", "gzip"}, {"GZIP", "gzip"}, {"x-gzip", "gzip"}, {"zstd", "zstd"}, {"gzip, zstd", "gzip"}, {"deflate, gzip, br, zstd", "gzip"},
		{"gzip;q=0.5, zstd", "zstd"}, {"gzip;q=0.5, zstd;q=0.4", "gzip"}, {"br", ""}, {"gzip;q=0", ""}, {"*", "gzip"}, {"gzip;q=0, *", "zstd"}, {"*;q=0", ""},
		{"identity", ""}, {"identity, gzip;q=0.5", ""}, {"gzip, identity;q=0", "gzip"}, {"gzip;q=x", ""}, {",", ""},
	} {
		e := servicetest.Echo(web.Options{})
		web.Mount(e, things, handlers(large, `"3"`))
		get := servicetest.Do(e, "GET", "/things", "", "Accept-Encoding: "+c.accept)
		if got := get.Header.Get("Content-Encoding"); got != c.coding {
			t.Errorf("%q: got coding %q, want %q", c.accept, got, c.coding)
		}
		etag := `"3"`
		if c.coding != "" {
			etag = `"3-` + c.coding + `"`
		}
		if get.Header.Get("ETag") != etag || get.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: got ETag %s, Vary %q, want the tag of the coding and Accept-Encoding", c.accept, get.Header.Get("ETag"), get.Header.Get("Vary"))
		}
		head := servicetest.Do(e, "HEAD", "/things", "", "Accept-Encoding: "+c.accept)
		for _, name := range []string{"Content-Encoding", "Content-Length", "Content-Type", "ETag", "Vary"} {
			if head.Header.Get(name) != get.Header.Get(name) {
				t.Errorf("%q: %s: got %q from HEAD, want %q as from GET", c.accept, name, head.Header.Get(name), get.Header.Get(name))
			}
		}
		if got := plain(t, get); got != large {
			t.Errorf("%q: got %.100s after decoding, want the body as it was sent", c.accept, got)
		}
	}
	t.Run("small ones stay as they are", func(t *testing.T) {
		e := servicetest.Echo(web.Options{})
		web.Mount(e, things, handlers(`{"name":"Ada"}`, `"3"`))
		if h := servicetest.Do(e, "GET", "/things", "", "Accept-Encoding: gzip").Header; h.Get("Content-Encoding") != "" || h.Get("ETag") != `"3"` {
			t.Errorf("got %v, want a small response without a coding", h)
		}
		if r := servicetest.Do(e, "GET", "/things", "", "Accept-Encoding: gzip, identity;q=0"); plain(t, r) != `{"name":"Ada"}` || r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("a client that excludes identity: got %v, want gzip", r.Header)
		}
	})
	t.Run("a weak tag is that of all codings", func(t *testing.T) {
		e := servicetest.Echo(web.Options{})
		web.Mount(e, things, handlers(large, `W/"p3"`))
		if h := servicetest.Do(e, "GET", "/things", "", "Accept-Encoding: gzip").Header; h.Get("ETag") != `W/"p3"` {
			t.Errorf("got %v, want the weak tag unchanged", h)
		}
	})
	t.Run("a setting turns it off", func(t *testing.T) {
		e := servicetest.Echo(web.Options{Uncompressed: true})
		web.Mount(e, things, handlers(large, `"3"`))
		r := servicetest.Do(e, "GET", "/things", "", "Accept-Encoding: gzip")
		if r.Header.Get("Content-Encoding") != "" || r.Header.Get("ETag") != `"3"` || r.Header.Get("Vary") != "" || servicetest.Body(t, r) != large {
			t.Errorf("got %v, want a response that was not compressed", r.Header)
		}
	})
	t.Run("problems are plain", func(t *testing.T) {
		e := servicetest.Echo(web.Options{Limits: web.Limits{Requests: 1, Memory: 10}})
		web.Mount(e, things, handlers(large, `"3"`))
		r := servicetest.Do(e, "GET", "/things", "", "Accept-Encoding: gzip")
		if r.StatusCode != 503 || r.Header.Get("Content-Encoding") != "" || r.Header.Get("Content-Type") != problem.ContentType {
			t.Errorf("got %d %v, want 503 with a problem that is not compressed", r.StatusCode, r.Header)
		}
	})
}

// Each piece of a compressed stream arrives when it is sent, not together with the next one.
func TestCompressedStreams(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} {
		t.Run(coding, func(t *testing.T) {
			next := make(chan bool)
			e := servicetest.Echo(web.Options{})
			h := func(c echo.Context) error {
				out := web.BeginStream(c, "application/x-ndjson")
				if c.Request().Method == "HEAD" {
					out.End(nil)
					return nil
				}
				for i := 0; <-next; i++ {
					if _, err := fmt.Fprintf(out, "line %d\n", i); err != nil {
						return err
					}
				}
				out.End(nil)
				return nil
			}
			web.Mount(e, things, web.Handlers{"GET": h, "HEAD": h})
			addr := listening(t, e, 10)
			client := http.Client{Transport: &http.Transport{DisableCompression: true}}
			request, err := http.NewRequest("GET", "http://"+addr+"/things", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Accept-Encoding", coding)
			go func() { next <- true }()
			r, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Body.Close() }()
			var decoded io.Reader
			if coding == "gzip" {
				decoded, err = gzip.NewReader(r.Body)
			} else {
				decoded, err = zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
			}
			if err != nil || r.Header.Get("Content-Encoding") != coding {
				t.Fatalf("got %v, %v, want Content-Encoding %s", r.Header, err, coding)
			}
			in := bufio.NewReader(decoded)
			for i := range 5 {
				if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("line %d\n", i) {
					t.Fatalf("got %q, %v, want line %d", line, err, i)
				}
				next <- i < 4
			}
			if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
				t.Errorf("got %q, %v at the end, want nothing more", rest, err)
			}
			head := servicetest.Do(e, "HEAD", "/things", "", "Accept-Encoding: "+coding)
			if head.Header.Get("Content-Encoding") != coding || head.Header.Get("Vary") != r.Header.Get("Vary") || len(servicetest.Body(t, head)) > 0 {
				t.Errorf("HEAD: got %v, want the coding and the Vary of GET, and no body", head.Header)
			}
		})
	}
}
