package connection_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/connection"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLimitLetsTheNextConnectionInWhenOneEnds(t *testing.T) {
	l := connection.Limit(listen(t), 2)
	accepted := make(chan net.Conn, 3)
	go func() {
		defer close(accepted)
		for range 3 {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		dial(t, l.Addr())
	}
	first, second := <-accepted, <-accepted
	defer second.Close()
	select {
	case <-accepted:
		t.Fatal("got a third connection, want at most two")
	default:
	}
	for range 2 { // the second time changes nothing
		_ = first.Close()
	}
	third := <-accepted
	if third == nil {
		t.Fatal("got no third connection, want one")
	}
	_ = third.Close()
}

// An Accept that waits for a connection to end, or for a new one, ends with its listener.
func TestCloseEndsAnAcceptAtTheLimit(t *testing.T) {
	for name, open := range map[string]int{"below the limit": 0, "at the limit": 1} {
		t.Run(name, func(t *testing.T) {
			l := connection.Limit(listen(t), 1)
			for range open {
				dial(t, l.Addr())
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			ended := make(chan error, 1)
			go func() {
				_, err := l.Accept()
				ended <- err
			}()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("got %v, want %v", err, net.ErrClosed)
			}
			_ = l.Close()
		})
	}
}

// A client whose header is too large gets the whole response and its end, not a reset.
func TestARefusedHeaderGetsACompleteResponse(t *testing.T) {
	own := connection.Listen(connection.Limit(listen(t), 10))
	defer own.Stop()
	s := &http.Server{MaxHeaderBytes: 1 << 10, ConnContext: own.Context}
	go func() { _ = s.Serve(own) }()
	defer s.Close()
	c := dial(t, own.Addr())
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: "+strings.Repeat("x", 100<<10)+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 431 ") {
		t.Errorf("got %q, %v, want a response 431 and its end", got, err)
	}
}
