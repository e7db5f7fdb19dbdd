package drain_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/drain"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// serveAPI serves h with a drain until the test ends, and returns its URL.
func serveAPI(t *testing.T, d *drain.Drain, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- d.Serve(ctx, func(serving context.Context) error {
			return web.Serve(serving, l, nil, d.Handler(h), slog.New(slog.DiscardHandler))
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: got %v, want no error", err)
		}
	})
	return "http://" + l.Addr().String()
}

// A drain is seen by probes at once, serves for a while, finishes what is in flight, and then refuses
// connections.
func TestDrainFinishesRequests(t *testing.T) {
	d := drain.New()
	entered, leave := make(chan bool), make(chan bool)
	url := serveAPI(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered <- true
			<-leave
		}
		_, _ = io.WriteString(w, "done")
	}))
	slow := make(chan string, 1)
	go func() {
		response, err := http.Get(url + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer func() { _ = response.Body.Close() }()
		b, _ := io.ReadAll(response.Body)
		slow <- string(b)
	}()
	<-entered
	if d.Begun() != nil {
		t.Error("got a drain before it was asked for")
	}
	// The wait for load balancers ends when the test has seen it.
	waiting, seen := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() { first <- d.Run(waiting, time.Hour) }()
	for d.Begun() == nil {
		time.Sleep(time.Millisecond)
	}
	if !errors.Is(d.Begun(), drain.ErrDraining) {
		t.Errorf("got %v, want ErrDraining", d.Begun())
	}
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Get(url + "/fast")
	if err != nil || response.StatusCode != http.StatusOK || !response.Close {
		t.Fatalf("during the wait: got %+v, %v, want 200 and the end of the connection", response, err)
	}
	_ = response.Body.Close()
	seen()
	second := make(chan error, 1)
	go func() { second <- d.Run(context.Background(), time.Hour) }()
	select {
	case err := <-second:
		t.Errorf("got the end of the drain (%v) with a request in flight", err)
	default:
	}
	close(leave)
	if got := <-slow; got != "done" {
		t.Errorf("the request in flight: got %q, want its response", got)
	}
	if err := <-second; err != nil {
		t.Errorf("got %v, want a complete drain", err)
	}
	<-first
	if _, err := client.Get(url + "/fast"); err == nil {
		t.Error("after the drain: got a response, want a refused connection")
	}
}

// A proxy that knows another process gets the write back, untouched.
func TestDrainSendsWritesElsewhere(t *testing.T) {
	d := drain.New()
	executed := 0
	h := d.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { executed++ }))
	url := serveAPI(t, d, h)
	post := func() *http.Response {
		r, err := http.NewRequest(http.MethodPost, url+"/users", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(web.HeaderTryNext, "write_again")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response
	}
	if response := post(); response.StatusCode != http.StatusOK || executed != 1 {
		t.Errorf("before the drain: got %s, want an executed write", response.Status)
	}
	waiting, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(waiting, time.Hour) }()
	for d.Begun() == nil {
		time.Sleep(time.Millisecond)
	}
	if response := post(); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("X-Accel-Redirect") != "@write_again" || executed != 1 {
		t.Errorf("during the drain: got %s, X-Accel-Redirect %q, %d executed, want 503 to @write_again and nothing executed", response.Status, response.Header.Get("X-Accel-Redirect"), executed)
	}
	cancel()
	<-ran
}

// An API that ends by itself is a failure, whether it says why or not.
func TestAPIThatEndsIsAFailure(t *testing.T) {
	cause := errors.New("cause")
	for _, result := range []error{cause, nil} {
		if err := drain.New().Serve(context.Background(), func(context.Context) error { return result }); err == nil || result != nil && !errors.Is(err, cause) {
			t.Errorf("got %v, want an error", err)
		}
	}
}
