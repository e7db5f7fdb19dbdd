package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/clusterlite/clusterlite/service/httpapi/connection"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// listening serves a handler on a port until the test ends, and returns the address.
func listening(t testing.TB, h http.Handler, connections int) string {
	t.Helper()
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(ctx, connection.Limit(l, connections), nil, h, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// post sends a request on a new connection and returns the response.
func post(t testing.TB, addr, body string) *http.Response {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Post("http://"+addr+"/things", "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return r
}

// eventually waits until a condition holds that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for ctx := servicetest.Context(t); !ok(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("got a timeout, want that %s", what)
		}
	}
}

func memoryInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// Two thousand clients that never finish their bodies take no slot and little memory. Other
// clients are served as if these did not exist.
func TestSlowSenders(t *testing.T) {
	e := server(web.Options{Limits: web.Limits{Requests: 2, Memory: 64 << 20}}, func(c echo.Context) error { return c.NoContent(204) })
	addr := listening(t, e, 4096)
	before := memoryInUse()
	const clients = 2000
	slow := make([]net.Conn, clients)
	for i := range slow {
		slow[i] = dial(t, addr)
		send(t, slow[i], "POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{")
	}
	for range 5 { // bytes trickle in
		for _, c := range slow {
			send(t, c, " ")
		}
		for range 20 {
			if r := post(t, addr, "{}"); r.StatusCode != 204 {
				t.Fatalf("a request among slow ones: got %d, want 204", r.StatusCode)
			}
		}
	}
	// Both ends of the connections are in this process.
	each := (int64(memoryInUse()) - int64(before)) / clients
	t.Logf("a slow client takes %d bytes", each)
	if each > 64<<10 {
		t.Errorf("got %d bytes for a slow client, want at most 64 KiB", each)
	}
}

// Of a burst, as many requests are in progress as there are slots, as many wait as the queue
// holds, and all others are rejected at once. Afterwards, the server works as before.
func TestABurst(t *testing.T) {
	registry := prometheus.NewRegistry()
	const slots, queue, burst = 4, 4 * 4, 10 * (4 + 4*4)
	working, most := atomic.Int64{}, atomic.Int64{}
	finish := make(chan struct{})
	e := server(web.Options{Registry: registry, Limits: web.Limits{Requests: slots, Memory: 64 << 20}}, func(c echo.Context) error {
		n := working.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-finish
		working.Add(-1)
		return c.NoContent(204)
	})
	addr := listening(t, e, 4096)
	var wait sync.WaitGroup
	var done, refused atomic.Int64
	for range burst {
		wait.Go(func() {
			switch r := post(t, addr, "{}"); r.StatusCode {
			case 204:
				done.Add(1)
			case 503:
				refused.Add(1)
				if r.Header.Get("Retry-After") == "" {
					t.Error("got no Retry-After, want one")
				}
			default:
				t.Errorf("got status %d, want 204 or 503", r.StatusCode)
			}
		})
	}
	// No request has finished, so every request that found no room is rejected by now, or soon.
	eventually(t, "the others are rejected", func() bool { return refused.Load() >= burst-slots-queue })
	if r := servicetest.Do(e, "GET", "/things", ""); r.StatusCode != 200 {
		t.Errorf("a read during a burst of writes: got %d, want 200", r.StatusCode)
	}
	close(finish)
	wait.Wait()
	// Requests that waited for longer than a second were rejected too.
	if done.Load() < slots || done.Load()+refused.Load() != burst || most.Load() > slots {
		t.Errorf("got %d done, %d rejected and %d at once, want every request done or rejected, and no more at once than slots", done.Load(), refused.Load(), most.Load())
	}
	for range burst {
		if r := post(t, addr, "{}"); r.StatusCode != 204 {
			t.Fatalf("after the burst: got %d, want 204", r.StatusCode)
		}
	}
	if got := counted(t, registry); int64(got) != refused.Load() {
		t.Errorf("got %v rejections counted, want %d", got, refused.Load())
	}
}

func counted(t testing.TB, registry *prometheus.Registry) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "clusterlite_http_requests_rejected_total" {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A client that does not read its response holds memory, but no slot.
func TestSlowReaders(t *testing.T) {
	registry := prometheus.NewRegistry()
	large := make([]byte, 16<<20) // more than any system buffers
	e := servicetest.Echo(web.Options{Registry: registry, Limits: web.Limits{Requests: 1, Memory: 64 << 20}})
	web.Mount(e, things, web.Handlers{"GET": func(c echo.Context) error {
		if err := web.ReserveMemory(c, len(large)); err != nil {
			return err
		}
		return web.Answer(c, 200, "text/plain", large)
	}, "POST": func(c echo.Context) error { return c.NoContent(204) }, "HEAD": func(c echo.Context) error { return web.Answer(c, 200, "text/plain", large) }})
	addr := listening(t, e, 100)
	var readers []*bufio.Reader
	for i := range 6 {
		c := dial(t, addr)
		send(t, c, "GET /things HTTP/1.1\r\nHost: x\r\n\r\n")
		readers = append(readers, bufio.NewReader(c))
		line, err := readers[i].ReadString('\n')
		if want := map[bool]string{true: "200", false: "503"}[i < 4]; err != nil || !strings.Contains(line, want) {
			t.Errorf("reader %d: got %q, %v, want %s", i, line, err, want)
		}
	}
	if r := servicetest.Do(e, "HEAD", "/things", ""); r.StatusCode != 200 || r.ContentLength != int64(len(large)) {
		t.Errorf("got %d %v, want 200 and the length of the response", r.StatusCode, r.Header)
	}
	const want = `
# HELP clusterlite_http_requests_rejected_total Requests rejected with 503 because of overload, by reason.
# TYPE clusterlite_http_requests_rejected_total counter
clusterlite_http_requests_rejected_total{reason="memory"} 2
clusterlite_http_requests_rejected_total{reason="queue_full"} 0
clusterlite_http_requests_rejected_total{reason="timeout"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "clusterlite_http_requests_rejected_total"); err != nil {
		t.Error(err)
	}
	// One client reads its response, which frees memory.
	if n, err := io.Copy(io.Discard, io.LimitReader(readers[0], int64(len(large)))); err != nil || n != int64(len(large)) {
		t.Fatalf("got %d bytes, %v, want the whole response", n, err)
	}
	c := dial(t, addr)
	send(t, c, "GET /things HTTP/1.1\r\nHost: x\r\n\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Errorf("got %q, %v, want 200", line, err)
	}
}

// A body takes memory for the largest document that may be parsed from it, so only a few large
// bodies are accepted at once.
func TestLargeBodies(t *testing.T) {
	const size, memory = 1 << 20, 256 << 20
	working, most := atomic.Int64{}, atomic.Int64{}
	e := server(web.Options{MaxBody: size, Limits: web.Limits{Requests: 100, Memory: memory}}, func(c echo.Context) error {
		n := working.Add(1)
		defer working.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		b, err := web.ReadBody(c)
		if err != nil || len(b) != size {
			return fmt.Errorf("%d bytes: %w", len(b), err)
		}
		runtime.Gosched()
		return c.NoContent(204)
	})
	addr := listening(t, e, 100)
	body := strings.Repeat("x", size)
	var wait sync.WaitGroup
	var done atomic.Int64
	for range 30 {
		wait.Go(func() {
			switch r := post(t, addr, body); r.StatusCode {
			case 204:
				done.Add(1)
			case 503:
			default:
				t.Errorf("got status %d, want 204 or 503", r.StatusCode)
			}
		})
	}
	wait.Wait()
	if most.Load() > memory/size/48 || done.Load() == 0 {
		t.Errorf("got %d done and %d at once, want some done, and no more at once than memory for them", done.Load(), most.Load())
	}
	if r := post(t, addr, body); r.StatusCode != 204 {
		t.Errorf("after them: got %d, want 204", r.StatusCode)
	}
}

// Connections beyond the limit wait until one ends.
func TestConnections(t *testing.T) {
	addr := listening(t, server(web.Options{}, func(c echo.Context) error { return c.NoContent(204) }), 2)
	open := []net.Conn{dial(t, addr), dial(t, addr)}
	for _, c := range open {
		send(t, c, "GET /things HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	third := make(chan int, 1)
	go func() { third <- post(t, addr, "{}").StatusCode }()
	select {
	case status := <-third:
		t.Fatalf("got %d on a third connection, want no response before another one ends", status)
	case <-time.After(50 * time.Millisecond):
	}
	_ = open[0].Close()
	if status := <-third; status != 204 {
		t.Errorf("got status %d, want 204", status)
	}
}
