package connection_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/connection"
)

// deadline is far longer than anything here takes.
const deadline = 20 * time.Second

// serve starts a server and returns a connection to it.
func serve(t *testing.T, s *http.Server) net.Conn {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := connection.Listen(tcp)
	s.ConnContext = l.Context
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-ended; l.Stop() })
	return dial(t, tcp.Addr())
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads an answer and returns its body.
func answer(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return http.StatusText(response.StatusCode) + " " + string(body)
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"

// echo answers with the body of the request.
func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

func TestRequestsOneAfterAnother(t *testing.T) {
	conn := serve(t, &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: deadline, IdleTimeout: deadline})
	r := bufio.NewReader(conn)
	for _, body := range []string{"abc", "def", "ghi"} {
		send(t, conn, post+body)
		expect(t, answer(t, r), "OK "+body)
	}
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	expect(t, answer(t, r), "OK ")
}

// A handler that takes long learns that its client has disconnected.
func TestDisconnect(t *testing.T) {
	for name, request := range map[string]string{"with a body": post + "abc", "without a body": "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			began, cause := make(chan struct{}), make(chan error, 1)
			conn := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				echo(w, r)
				close(began)
				select {
				case <-r.Context().Done():
					cause <- r.Context().Err()
				case <-time.After(deadline):
					cause <- errors.New("the context has not ended")
				}
			})})
			send(t, conn, request)
			<-began
			_ = conn.Close()
			if err := <-cause; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		})
	}
}

// What a client sends while a handler runs is the next request, however long the handler takes.
func TestPipelinedRequests(t *testing.T) {
	watched := make(chan struct{})
	conn := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch string(body) {
		case "abc":
			<-watched // the next request arrives meanwhile
			select {
			case <-r.Context().Done():
				t.Error("the context has ended, although the client is connected")
			case <-time.After(300 * time.Millisecond): // the listener watches after 100 ms
			}
		}
		_, _ = w.Write(body)
	})})
	r := bufio.NewReader(conn)
	send(t, conn, post+"abc")
	send(t, conn, post[:10])
	close(watched)
	expect(t, answer(t, r), "OK abc")
	send(t, conn, post[10:]+"def"+post+"ghi"+post+"jkl")
	for _, want := range []string{"def", "ghi", "jkl"} {
		expect(t, answer(t, r), "OK "+want)
	}
}

func TestTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		server *http.Server
		steps  []string
	}{
		"of an idle connection":     {&http.Server{IdleTimeout: 50 * time.Millisecond, ReadHeaderTimeout: deadline}, []string{post + "abc"}},
		"of a header":               {&http.Server{ReadHeaderTimeout: 50 * time.Millisecond}, []string{"POST / HT"}},
		"of a later header":         {&http.Server{IdleTimeout: deadline, ReadHeaderTimeout: time.Second}, []string{post + "abc", "POST / HT"}},
		"of a body":                 {&http.Server{ReadTimeout: 50 * time.Millisecond}, []string{post}},
		"idle, after a shorter one": {&http.Server{ReadHeaderTimeout: time.Second, IdleTimeout: 2 * time.Second}, []string{post + "abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(w, r.Body); err != nil {
					panic(http.ErrAbortHandler)
				}
			})
			conn := serve(t, c.server)
			r := bufio.NewReader(conn)
			for _, step := range c.steps {
				send(t, conn, step)
				if strings.HasSuffix(step, "abc") {
					expect(t, answer(t, r), "OK abc")
				}
			}
			if _, err := io.Copy(io.Discard, r); err != nil { // what a server says about a header that never ends
				t.Errorf("got %v, want the end of the connection", err)
			}
		})
	}
}

// A hijacked connection belongs to the handler, however it reads.
func TestHijack(t *testing.T) {
	done := make(chan struct{})
	conn := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		own, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer own.Close()
		_, _ = rw.WriteString("hello\n")
		_ = rw.Flush()
		var got []byte
		for len(got) < 3 {
			var one [1]byte
			if _, err := io.ReadFull(own, one[:]); err != nil {
				t.Errorf("got %v after %q, want no error", err, got)
				return
			}
			got = append(got, one[0])
		}
		expect(t, string(got), "xyz")
		_ = own.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := own.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
	})})
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); line != "hello\n" {
		t.Fatalf("got %q and %v, want a line", line, err)
	}
	send(t, conn, "xyz")
	<-done
}

// pair returns a connection that a listener has accepted, and its peer.
func pair(t *testing.T) (conn, peer net.Conn) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := connection.Listen(tcp)
	t.Cleanup(func() { l.Stop(); _ = l.Close() })
	peer = dial(t, tcp.Addr())
	if conn, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, peer
}

// A deadline that is set while a read waits ends the read.
func TestDeadlineDuringARead(t *testing.T) {
	conn, _ := pair(t)
	failed := make(chan error)
	for range 50 {
		go func() {
			_, err := conn.Read(make([]byte, 10))
			failed <- err
		}()
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // before the read, or during it
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
		_ = conn.SetReadDeadline(time.Time{})
	}
}

// A write ends at the deadline that was set last, whatever deadlines there were before.
func TestWriteDeadlines(t *testing.T) {
	t.Parallel()
	conn, peer := pair(t)
	const first = time.Second
	_ = conn.SetWriteDeadline(time.Now().Add(first))
	if _, err := conn.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetWriteDeadline(time.Time{})
	received := make(chan int64)
	go func() {
		time.Sleep(first) // the first deadline must not end the write
		n, _ := io.CopyN(io.Discard, peer, 32<<20+1)
		received <- n
	}()
	if n, err := conn.Write(make([]byte, 32<<20)); n != 32<<20 || err != nil {
		t.Errorf("got %d bytes and %v, want all bytes", n, err)
	}
	if n := <-received; n != 32<<20+1 {
		t.Errorf("got %d bytes, want %d", n, 32<<20+1)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(time.Hour))
	_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := conn.Write(make([]byte, 32<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes and %v, want %v", n, err, os.ErrDeadlineExceeded)
	}
}

// A header that is too large gets its answer, wherever the limit falls.
func TestHeaderTooLarge(t *testing.T) {
	for extra := range 4 {
		conn := serve(t, &http.Server{Handler: http.HandlerFunc(echo), MaxHeaderBytes: 1})
		send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nA: "+strings.Repeat("a", 4096-30+extra)) // the limit is 4097
		send(t, conn, strings.Repeat("a", 4096))
		expect(t, strings.SplitN(answer(t, bufio.NewReader(conn)), " 4", 2)[0], "Request Header Fields Too Large")
	}
}
