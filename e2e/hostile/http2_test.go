package hostile_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// encrypted is a process that speaks HTTP/2.
type encrypted struct {
	*cluster.Process
	roots *x509.CertPool
}

func newEncrypted(t *testing.T) encrypted {
	t.Helper()
	authority := cluster.NewAuthority(t, "authority")
	pair := authority.Issue(t, "server", time.Now().Add(time.Hour))
	e := encrypted{Process: cluster.Encrypted(t, map[string]string{
		"CLUSTERLITE_KAFKA_LISTEN": cluster.Address(t), "CLUSTERLITE_TLS_CERT_FILE": pair.Cert, "CLUSTERLITE_TLS_KEY_FILE": pair.Key,
	}), roots: x509.NewCertPool()}
	e.Admin = strings.Replace(e.Admin, "https://", "http://", 1)
	ca, err := os.ReadFile(authority.File)
	if err != nil {
		t.Fatal(err)
	}
	e.roots.AppendCertsFromPEM(ca)
	e.Start()
	e.AwaitReady()
	return e
}

// serves checks that a well-behaved client gets an answer over HTTP/2.
func (e encrypted) serves(t *testing.T) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get(e.URL + "/users")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		t.Errorf("got %d over %s, want 200 over HTTP/2", response.StatusCode, response.Proto)
	}
}

// A connection is an HTTP/2 connection on which a test writes frames as it likes.
type connection struct {
	*tls.Conn
	*http2.Framer
	fields *hpack.Encoder
	buffer bytes.Buffer
}

func (e encrypted) connect(t *testing.T) *connection {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: e.roots, NextProtos: []string{"h2"}}}
	plain, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(e.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	if err := plain.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := &connection{Conn: plain.(*tls.Conn), Framer: http2.NewFramer(plain, plain)}
	c.AllowIllegalWrites = true
	c.fields = hpack.NewEncoder(&c.buffer)
	if _, err := io.WriteString(plain, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// block encodes header fields, given as names and values.
func (c *connection) block(fields ...string) []byte {
	c.buffer.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.fields.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a buffer takes everything
	}
	return bytes.Clone(c.buffer.Bytes())
}

// ends reads frames until stream 1 ends or the connection does, and says how.
func (c *connection) ends() string {
	status := ""
	decoder := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			status = f.Value
		}
	})
	for {
		frame, err := c.ReadFrame()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "nothing"
		}
		if err != nil {
			return "closed"
		}
		switch f := frame.(type) {
		case *http2.HeadersFrame:
			_, _ = decoder.Write(f.HeaderBlockFragment()) // a malformed block leaves the status empty
			if f.StreamID == 1 {
				return "status " + status
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == 1 {
				return "reset"
			}
		case *http2.GoAwayFrame:
			return "closed"
		}
	}
}

// Requests that HTTP/2 forbids, and that would smuggle something through a server that
// translates them to HTTP/1, are rejected.
func TestHTTP2MalformedRequests(t *testing.T) {
	e := newEncrypted(t)
	whole := []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/users?limit=1"}
	with := func(more ...string) []string { return slices.Concat(whole, more) }
	for name, c := range map[string]struct {
		fields []string
		body   string
		want   string
	}{
		"a well-formed request":             {whole, "", "status 200"},
		"a newline in a value":              {with("x-note", "a\r\ninjected: 1"), "", "reset|status 400|closed"},
		"a NUL in a value":                  {with("x-note", "a\x00b"), "", "reset|status 400|closed"},
		"a newline in a name":               {with("x-note\r\ninjected", "1"), "", "reset|status 400|closed"},
		"a colon in a name":                 {with("x:note", "1"), "", "reset|status 400|closed"},
		"an upper-case name":                {with("X-Note", "1"), "", "reset|status 400|closed"},
		"an empty name":                     {with("", "1"), "", "reset|status 400|closed"},
		"a transfer coding":                 {with("transfer-encoding", "chunked"), "", "reset|status 400|closed"},
		"a connection field":                {with("connection", "x"), "", "reset|status 400|closed"},
		"a pseudo field twice":              {with(":path", "/status"), "", "reset|status 400|closed"},
		"a pseudo field after others":       {slices.Concat([]string{"x-note", "a"}, whole), "", "reset|status 400|closed"},
		"an unknown pseudo field":           {with(":note", "a"), "", "reset|status 400|closed"},
		"no path":                           {[]string{":method", "GET", ":scheme", "https", ":authority", "a"}, "", "reset|status 400|closed"},
		"an empty path":                     {[]string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", ""}, "", "reset|status 400|closed"},
		"a path without a slash":            {[]string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "users"}, "", "reset|status 400|closed"},
		"a space in the method":             {[]string{":method", "GET /users HTTP/1.1", ":scheme", "https", ":authority", "a", ":path", "/"}, "", "status 405"},
		"a path that climbs":                {[]string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/../users"}, "", "status 404"},
		"a body longer than its length":     {slices.Concat([]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/users"}, []string{"content-type", "application/json", "content-length", "2"}), "{} and more", "reset|status 400|closed"},
		"a body shorter than its length":    {slices.Concat([]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/users"}, []string{"content-type", "application/json", "content-length", "200"}), "{}", "reset|status 400|closed"},
		"two lengths":                       {slices.Concat([]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/users"}, []string{"content-type", "application/json", "content-length", "2", "content-length", "3"}), "{}", "status 422|reset"},
		"100 KiB of fields":                 {with("x-note", strings.Repeat("a", 100<<10)), "", "status 431|reset|closed"},
		"a request id with bytes of others": {with("x-request-id", "a\", \"b"), "", "status 200"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := e.connect(t)
			block := conn.block(c.fields...)
			first := block[:min(len(block), 16<<10)]
			if err := conn.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: c.body == "", EndHeaders: len(first) == len(block)}); err != nil {
				t.Fatal(err)
			}
			for rest := block[len(first):]; len(rest) > 0; {
				n := min(len(rest), 16<<10)
				if err := conn.WriteContinuation(1, n == len(rest), rest[:n]); err != nil {
					break // the server has closed the connection
				}
				rest = rest[n:]
			}
			if c.body != "" {
				_ = conn.WriteData(1, true, []byte(c.body)) // the server may have closed the connection
			}
			if got := conn.ends(); !slices.Contains(strings.Split(c.want, "|"), got) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			e.serves(t)
		})
	}
}

// A client can't make the server work, or remember, without end by frames that cost the client
// little.
func TestHTTP2Floods(t *testing.T) {
	e := newEncrypted(t)
	r := rig{Process: e.Process}
	const frames = 30_000
	for name, flood := range map[string]func(c *connection, i int) error{
		"streams that are reset at once": func(c *connection, i int) error {
			id := uint32(2*i + 1)
			if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: true, EndHeaders: true,
				BlockFragment: c.block(":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/users")}); err != nil {
				return err
			}
			return c.WriteRSTStream(id, http2.ErrCodeCancel)
		},
		"streams that never end": func(c *connection, i int) error {
			return c.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true,
				BlockFragment: c.block(":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/users", "content-type", "application/json")})
		},
		"a header that never ends": func(c *connection, i int) error {
			block := c.block("x-note", fmt.Sprint(i), "x-more", strings.Repeat("a", 1000))
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: block})
			}
			return c.WriteContinuation(1, false, block)
		},
		"empty continuations": func(c *connection, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: c.block(":method", "GET")})
			}
			return c.WriteContinuation(1, false, nil)
		},
		"pings":    func(c *connection, _ int) error { return c.WritePing(false, [8]byte{}) },
		"settings": func(c *connection, _ int) error { return c.WriteSettings() },
		"window updates of a stream that does not exist": func(c *connection, i int) error {
			return c.WriteWindowUpdate(uint32(2*i+1), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := e.connect(t)
			sent := 0
			for ; sent < frames; sent++ {
				if err := flood(conn, sent); err != nil {
					break // the server has closed the connection
				}
			}
			// Empty frames make the header no larger, so the limit of the size does not end them. The
			// idle timeout does, after two minutes.
			if name == "a header that never ends" {
				if got := conn.ends(); got != "closed" {
					t.Errorf("got %q after %d frames of a header, want the connection closed", got, sent)
				}
			}
			e.serves(t)
			if got := r.memory(t); got > maxMemory {
				t.Errorf("got %d MiB of resident memory, want at most %d", got, maxMemory)
			}
		})
	}
}
