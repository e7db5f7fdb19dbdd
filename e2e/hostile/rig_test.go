// Package hostile_test sends what no well-behaved client sends, over plain sockets, to a process
// and to the shipped Nginx in front of it. Each case has an expected outcome, and after each one
// the store must still serve.
package hostile_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// A rig is a store under attack.
type rig struct {
	*cluster.Process
	// addr is the address that gets the attacks: that of the process, or of Nginx.
	addr  string
	nginx bool
}

// directly returns a process without a proxy.
func directly(t *testing.T) rig {
	t.Helper()
	p := cluster.ServeWith(t, map[string]string{"CLUSTERLITE_COLLECTIONS": filepath.Join(cluster.Root(t), "examples")})
	p.Start()
	p.AwaitReady()
	return rig{Process: p, addr: strings.TrimPrefix(p.URL, "http://")}
}

// throughNginx returns a process behind the shipped Nginx.
func throughNginx(t *testing.T) rig {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "embedded") {
		t.Skip("CLUSTERLITE_E2E does not have embedded, for which Nginx is installed")
	}
	r := directly(t)
	proxy := cluster.Nginx(t, []string{r.URL}, []string{r.URL})
	return rig{Process: r.Process, addr: strings.TrimPrefix(proxy.URL, "http://"), nginx: true}
}

func (r rig) url() string { return "http://" + r.addr }

// serves checks that the store still creates and returns entities.
func (r rig) serves(t *testing.T) {
	t.Helper()
	target := suite.Target{URL: r.url()}
	created := target.Do(t, "POST", "/users", suite.UserBody("Ada", suite.Email())).Want(t, http.StatusCreated)
	target.Do(t, "GET", created.Header.Get("Location"), "").Want(t, http.StatusOK)
}

// patience bounds every exchange. It is far more than any needs on a busy machine.
const patience = 60 * time.Second

// last ends an exchange: the server must answer it and close the connection, unless it has
// closed the connection before.
const last = "GET /users?limit=1 HTTP/1.1\r\nHost: store.example\r\nConnection: close\r\n\r\n"

// An outcome is what the server sent on one connection until it closed it.
type outcome struct {
	statuses []int
	headers  []http.Header
	bodies   []string
	raw      string
}

// String returns the statuses, such as "400" or "201 200".
func (o outcome) String() string {
	return strings.Trim(fmt.Sprint(o.statuses), "[]")
}

// exchange sends bytes on a new connection, and reads until the server closes it.
func (r rig) exchange(t *testing.T, raw string) outcome {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, raw) }() // the server may close the connection meanwhile
	received, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got an open connection after %s and %q, want it closed", patience, received)
	}
	return parse(received)
}

// parse splits what a server sent into responses. Interim responses are left out. Bytes that are
// no response count as one with status 0.
func parse(received []byte) (o outcome) {
	o.raw = string(received)
	in := bufio.NewReader(bytes.NewReader(received))
	for {
		if _, err := in.Peek(1); err != nil {
			return o
		}
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			o.statuses = append(o.statuses, 0)
			return o
		}
		body, _ := io.ReadAll(response.Body) // a body that is cut off is seen as such
		if response.StatusCode >= 200 {
			o.statuses, o.headers, o.bodies = append(o.statuses, response.StatusCode), append(o.headers, response.Header), append(o.bodies, string(body))
		}
	}
}

// An attack is a case of a table. want and nginx list the permitted outcomes of the process and
// of Nginx, separated by "|". An empty nginx means the same as want.
type attack struct {
	name, raw, want, nginx string
}

// withstands sends the attacks, each on its own connection, and compares the outcomes.
func (r rig) withstands(t *testing.T, attacks []attack, also func(*testing.T, attack, outcome)) {
	t.Helper()
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			want := a.want
			if r.nginx && a.nginx != "" {
				want = a.nginx
			}
			got := r.exchange(t, a.raw)
			if !slices.Contains(strings.Split(want, "|"), got.String()) {
				t.Errorf("got the statuses %q, want %q\n%.600q", got, want, got.raw)
			}
			for i, header := range got.headers {
				if header.Get("Set-Cookie") != "" || header.Get("Injected") != "" {
					t.Errorf("got the header %v, want no field of the client", header)
				}
				if strings.Contains(got.bodies[i], "goroutine ") || strings.Contains(got.bodies[i], ".go:") {
					t.Errorf("got the body %q, want no trace of the program", got.bodies[i])
				}
			}
			if also != nil {
				also(t, a, got)
			}
			r.serves(t)
		})
	}
}
