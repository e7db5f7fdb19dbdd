package connection_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/connection"
)

// BenchmarkRequests reports the CPU time of a request, including that of its client. The handler sets
// deadlines as package web does.
func BenchmarkRequests(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(map[bool]string{false: "net", true: "connection"}[own], func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := &http.Server{Handler: http.HandlerFunc(answerWithin), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
			addr := l.Addr()
			if own {
				c := connection.Listen(l)
				defer c.Stop()
				l, s.ConnContext = c, c.Context
			}
			go func() { _ = s.Serve(l) }()
			defer s.Close()
			before := cpu()
			requestBy16(b, addr)
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func answerWithin(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.Copy(io.Discard, r.Body)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(w, "an answer")
}

func requestBy16(b *testing.B, addr net.Addr) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			conn, err := net.Dial("tcp", addr.String())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if _, err := io.WriteString(conn, post+"abc"); err != nil {
					b.Error(err)
					return
				}
				response, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
			}
		})
	}
	clients.Wait()
}

// cpu returns the CPU time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
