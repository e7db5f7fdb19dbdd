package servicetest

import (
	"net"
	"testing"
)

// Peer accepts connections until the test ends, and calls serve for each in a separate goroutine.
// If serve is nil, the peer never responds. The connections are closed when the test ends.
func Peer(t testing.TB, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			if serve != nil {
				go serve(c)
			}
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}
