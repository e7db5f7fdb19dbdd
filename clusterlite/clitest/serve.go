// Package clitest helps tests that run clusterlite's subcommands. It starts clusterlite serve
// and nodes, runs subcommands, and inspects the files that they leave. Only tests import it.
package clitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
)

// Greeting collects the standard output of a clusterlite serve.
type Greeting struct {
	bytes.Buffer
	// Done is closed once the process has printed its greeting.
	Done chan struct{}
}

// NewGreeting returns a Greeting.
func NewGreeting() *Greeting { return &Greeting{Done: make(chan struct{})} }

// Write implements [io.Writer].
func (g *Greeting) Write(b []byte) (int, error) {
	defer close(g.Done)
	return g.Buffer.Write(b)
}

// ServeArgs returns the arguments of a clusterlite serve on a data folder, with free ports.
func ServeArgs(dir string) []string {
	return []string{"serve", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--kafka-listen=127.0.0.1:0", "--data-dir=" + dir}
}

// A Server is a running clusterlite serve.
type Server struct {
	t testing.TB
	// URL and Admin are the URLs of the listeners, and Kafka is the address of the broker.
	URL, Admin, Kafka string
	// Stop stops the server. It can be called more than once.
	Stop func()
}

// Serve runs clusterlite serve on a data folder until Stop or the end of the test.
func Serve(t testing.TB, dir string, args ...string) Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := NewGreeting()
	ran := make(chan error, 1)
	go func() { ran <- cli.Run(ctx, append(ServeArgs(dir), args...), out, io.Discard) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-out.Done:
	case err := <-ran:
		ran <- err
		t.Fatalf("clusterlite serve ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("clusterlite serve did not become ready within a minute")
	}
	found := regexp.MustCompile(`(?s)API +(\S+).*admin +(\S+)/status.*Kafka +(\S+)`).FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("got output without addresses:\n%s", out.String())
	}
	return Server{t: t, URL: found[1], Admin: found[2], Kafka: found[3], Stop: stop}
}

// Post creates an entity and returns the status of the response and the id of the entity.
func (s Server) Post(collection, body string) (status int, id string) {
	s.t.Helper()
	r, err := http.Post(s.URL+"/"+collection, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var e struct{ ID string }
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		s.t.Fatal(err)
	}
	return r.StatusCode, e.ID
}

// Request sends a request with header fields such as "If-Match: *", and returns the body of the
// response. A status of 400 or above fails the test.
func Request(t testing.TB, method, url, body string, headers ...string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 400 {
		t.Fatalf("%s %s: got %d %s, %v, want a status below 400", method, url, answer.StatusCode, got, err)
	}
	return got
}
