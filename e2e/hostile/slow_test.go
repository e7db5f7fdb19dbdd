package hostile_test

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/suite"
)

// slowPatience is more than twice the longest deadline of the server, which is a minute for a
// whole body.
const slowPatience = 3 * time.Minute

// drip is the interval between the bytes of a client that sends slowly.
const drip = time.Second

func (r rig) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(slowPatience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// sendsSlowly sends the beginning of a request, and then a byte of the rest from time to time
// until the server closes the connection. It returns what the server sent.
func (r rig) sendsSlowly(t *testing.T, beginning string, rest string) outcome {
	t.Helper()
	conn := r.dial(t)
	if _, err := io.WriteString(conn, beginning); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(drip)
		defer tick.Stop()
		for i := 0; rest != ""; i++ {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			if _, err := conn.Write([]byte{rest[i%len(rest)]}); err != nil {
				return
			}
		}
	}()
	received, err := io.ReadAll(conn)
	close(done)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got an open connection after %s, want it closed", slowPatience)
	}
	return parse(received)
}

// slowClients keep connections open for as long as they may. The server must end each of them.
func (r rig) slowClients(t *testing.T) {
	t.Helper()
	body := "Content-Length: 1000"
	t.Run("all", func(t *testing.T) {
		// Nginx limits the pauses of a client, but not the time for a whole body, which it takes
		// itself. It closes the connection of a client that pauses without a response. It passes
		// an import on as it arrives, so the service may be the first to give up: the outcome of
		// the import is then unknown.
		for name, c := range map[string]struct{ beginning, rest, want, nginx string }{
			"nothing":                      {"", "", "|400|408", "|400|408"},
			"a cut header":                 {"GET /users HTTP/1.1\r\nHost: a\r\nX-", "", "|400|408", "|400|408"},
			"a header that drips":          {"GET /users HTTP/1.1\r\nHost: a\r\n", "X-A: b\r\n", "|400|408", "|400|408"},
			"a request line that drips":    {"GET /", "a", "|400|408", "|400|408"},
			"no body":                      {post(body), "", "408", "|408"},
			"a body that drips":            {post(body) + "{", " ", "408", "-"},
			"chunks that drip":             {post("Transfer-Encoding: chunked"), "1\r\n \r\n", "408", "-"},
			"an import that stops":         {strings.Replace(post(body), "application/json", "application/x-ndjson", 1) + "{", "", "|408", "|408|503"},
			"a compressed body that stops": {post(body, "Content-Encoding: gzip") + "\x1f\x8b\x08", "", "408", "|408"},
		} {
			t.Run(name, func(t *testing.T) {
				want := c.want
				if r.nginx {
					want = c.nginx
				}
				if want == "-" {
					t.Skip("the proxy takes such a body itself, as slowly as it arrives")
				}
				t.Parallel()
				if got := r.sendsSlowly(t, c.beginning, c.rest); !slices.Contains(strings.Split(want, "|"), got.String()) {
					t.Errorf("got the statuses %q, want %q\n%.400q", got, want, got.raw)
				}
			})
		}
		t.Run("a client that reads nothing", func(t *testing.T) {
			t.Parallel()
			r.readsNothing(t)
		})
		t.Run("hundreds of clients that send nothing", func(t *testing.T) {
			t.Parallel()
			for range 300 {
				_, _ = io.WriteString(r.dial(t), "GET /users HTTP/1.1\r\nX-") // the server may be closing it already
			}
			r.serves(t)
		})
	})
	r.serves(t)
}

// readsNothing asks again and again for a page and reads none, until the server closes the
// connection.
func (r rig) readsNothing(t *testing.T) {
	t.Helper()
	target := suite.Target{URL: r.URL}
	for range 60 {
		target.Create(t, strings.Repeat("x", 200))
	}
	conn := r.dial(t)
	const pages = 2000
	if _, err := io.WriteString(conn, strings.Repeat("GET /users?limit=60 HTTP/1.1\r\nHost: a\r\n\r\n", pages)); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(drip)
	defer tick.Stop()
	for end := time.Now().Add(slowPatience); ; {
		<-tick.C
		if _, err := io.WriteString(conn, "\r\n"); err != nil {
			break // the server has closed the connection
		}
		if time.Now().After(end) {
			t.Fatalf("got an open connection after %s, want it closed", slowPatience)
		}
	}
	r.serves(t)
}

func TestSlowClientsDirectly(t *testing.T) {
	if os.Getenv("CLUSTERLITE_E2E") == "" {
		t.Skipf("CLUSTERLITE_E2E is not set: this test waits for deadlines of up to %s", time.Minute)
	}
	t.Parallel()
	directly(t).slowClients(t)
}

func TestSlowClientsThroughNginx(t *testing.T) {
	t.Parallel()
	throughNginx(t).slowClients(t)
}
