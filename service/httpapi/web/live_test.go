package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/stream"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// A live server sends "a" and, when the server drains, "b". If it is asked to fail, it panics then.
func liveServer(t *testing.T) (address string, stop func() error) {
	t.Helper()
	letter := func(text string) stream.Piece {
		return stream.NewPiece(nil, func(b []byte) []byte { return append(b, text...) })
	}
	e := server(web.Options{}, func(c echo.Context) error {
		fails := c.Request().Header.Get("X-Fails") != ""
		return web.SendLive(c, time.Minute, func(ctx context.Context, out *web.Live) {
			if err := out.Send(letter("a")); err != nil {
				t.Errorf("got %v, want no error", err)
			}
			<-web.Draining(ctx)
			if fails {
				panic("as asked")
			}
			_ = out.Send(letter("b")) // the client may be gone
		})
	})
	return serve(t, e)
}

// serve serves e until stop is called, which returns the server's error.
func serve(t *testing.T, e *echo.Echo) (address string, stop func() error) {
	t.Helper()
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, l, nil, e, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(cancel)
	return l.Addr().String(), func() error { cancel(); return <-served }
}

// A live response goes on until the server drains, and then ends in an orderly way, with HTTP/1.1 and
// with HTTP/1.0, which has no chunks. The server waits for it.
func TestALiveResponseEndsWithTheServer(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/1.0"} {
		address, stop := liveServer(t)
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST /things "+protocol+"\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%s: got %v, %v, want 200", protocol, r, err)
		}
		first := make([]byte, 1)
		if _, err := io.ReadFull(r.Body, first); err != nil || string(first) != "a" {
			t.Fatalf("%s: got %q, %v, want a", protocol, first, err)
		}
		if err := stop(); err != nil {
			t.Errorf("%s: got %v from the server, want an orderly end", protocol, err)
		}
		if rest, err := io.ReadAll(r.Body); err != nil || string(rest) != "b" {
			t.Errorf("%s: got %q, %v, want b and the end", protocol, rest, err)
		}
		_ = conn.Close()
	}
}

// A panic breaks off one live response. The client sees that it is incomplete, and the process lives.
func TestALiveResponseThatFails(t *testing.T) {
	address, stop := liveServer(t)
	request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/things", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Fails", "yes")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	first := make([]byte, 1)
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("got %v from the server, want an orderly end", err)
	}
	if rest, err := io.ReadAll(response.Body); err == nil || strings.Contains(string(rest), "b") {
		t.Errorf("got %q, %v, want an error: the response is incomplete", rest, err)
	}
}

// A client that does not read is dropped once a piece has not been taken in time.
func TestALiveResponseToAClientThatDoesNotRead(t *testing.T) {
	large := stream.NewPiece(nil, func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) })
	ended := make(chan error, 1)
	e := server(web.Options{}, func(c echo.Context) error {
		return web.SendLive(c, 100*time.Millisecond, func(_ context.Context, out *web.Live) {
			var err error
			for err == nil {
				err = out.Send(large)
			}
			ended <- err
		})
	})
	address, stop := serve(t, e)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /things HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want the deadline of a piece", err)
	}
	if err := stop(); err != nil {
		t.Errorf("got %v from the server, want an orderly end", err)
	}
}
