package httpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/httpclient"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// soon expires quickly, but leaves enough time for a peer that responds.
const (
	soon = 200 * time.Millisecond
	late = time.Minute
)

// says makes a peer read a request's header and then write a text.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 64<<10))
		_, _ = io.WriteString(c, text)
	}
}

func drips(c net.Conn) {
	says("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")(c)
	for {
		if _, err := io.WriteString(c, "."); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestASilentPeerIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		peer   func(net.Conn)
		limits httpclient.Limits
		body   io.Reader
		stage  httpclient.Stage
		words  string
	}{
		"says nothing": {
			func(net.Conn) {}, httpclient.Limits{Connect: late, Answer: soon, Stall: late}, nil,
			httpclient.Awaiting, "accepted the connection but did not answer within 200ms",
		},
		"drips its header": {
			func(c net.Conn) {
				says("HTTP/1.1 200 OK\r\n")(c)
				for i := 0; ; i++ {
					if _, err := fmt.Fprintf(c, "X-%d: y\r\n", i); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}, httpclient.Limits{Connect: late, Answer: soon, Stall: late}, nil,
			httpclient.Awaiting, "did not answer within 200ms",
		},
		"reports work in progress, and nothing more": {
			says("HTTP/1.1 102 Processing\r\n\r\n"), httpclient.Limits{Connect: late, Answer: late, Stall: soon}, nil,
			httpclient.Awaiting, "did not answer within 200ms",
		},
		"stops after the header": {
			says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), httpclient.Limits{Connect: late, Answer: late, Stall: soon}, nil,
			httpclient.Receiving, "after 0 bytes, too little arrived within 200ms",
		},
		"stops in the body": {
			says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), httpclient.Limits{Connect: late, Answer: late, Stall: soon}, nil,
			httpclient.Receiving, "after 3 bytes, too little arrived within 200ms",
		},
		"drips the body": {
			drips, httpclient.Limits{Connect: late, Answer: late, Stall: soon, Least: 1000}, nil,
			httpclient.Receiving, "too little arrived within 200ms",
		},
		"does not read": {
			func(net.Conn) {}, httpclient.Limits{Connect: late, Answer: late, Stall: soon}, strings.NewReader(strings.Repeat("x", 64<<20)),
			httpclient.Sending, "did not read the request within",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := servicetest.Peer(t, c.peer)
			err := ask(t.Context(), httpclient.NewClient(c.limits, nil), addr, c.body)
			var silent *httpclient.SilentError
			if !errors.As(err, &silent) || silent.Stage != c.stage || silent.Peer != addr || !strings.Contains(err.Error(), addr+" ") || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("got %v, want that %s %s (stage %d)", err, addr, c.words, c.stage)
			}
			if !silent.Timeout() {
				t.Error("got no timeout, want one")
			}
		})
	}
}

func ask(ctx context.Context, client *http.Client, addr string, body io.Reader) error {
	defer client.CloseIdleConnections()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr, body)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// The address belongs to a test network, where packets are dropped.
func TestAPeerThatAcceptsNoConnectionIsNamed(t *testing.T) {
	client := httpclient.NewClient(httpclient.Limits{Connect: soon, Answer: late, Stall: late}, func(tr *http.Transport) {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	err := ask(t.Context(), client, "192.0.2.1:80", nil)
	if silent := (*httpclient.SilentError)(nil); !errors.As(err, &silent) || !strings.Contains(err.Error(), "192.0.2.1:80 did not accept a connection within 200ms") {
		t.Fatalf("got %v, want that it did not accept a connection", err)
	}
}

func TestTheCallersDeadlineNamesThePeerToo(t *testing.T) {
	addr := servicetest.Peer(t, func(net.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	err := ask(ctx, httpclient.NewClient(httpclient.Limits{Connect: late, Answer: late, Stall: late}, nil), addr, nil)
	if silent := (*httpclient.SilentError)(nil); !errors.As(err, &silent) || !strings.Contains(err.Error(), addr+" accepted the connection but did not answer") {
		t.Fatalf("got %v, want that %s did not answer", err, addr)
	}
}

func TestACallerWhoGivesUpIsNotTheFaultOfThePeer(t *testing.T) {
	addr := servicetest.Peer(t, func(net.Conn) {})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	err := ask(ctx, httpclient.NewClient(httpclient.Limits{Connect: late, Answer: late, Stall: late}, nil), addr, nil)
	if silent := (*httpclient.SilentError)(nil); !errors.Is(err, context.Canceled) || errors.As(err, &silent) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
}

// A peer that makes progress may take longer in total than each limit.
func TestATransferThatMakesProgressIsNotBounded(t *testing.T) {
	const steps = 6
	limits := httpclient.Limits{Connect: late, Answer: late, Stall: 2 * time.Second}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range steps {
			w.WriteHeader(http.StatusProcessing)
			time.Sleep(limits.Stall / 4)
		}
		for range steps {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(limits.Stall / 4)
		}
	}))
	defer server.Close()
	if err := ask(t.Context(), httpclient.NewClient(limits, nil), server.Listener.Addr().String(), nil); err != nil {
		t.Fatalf("got %v, want no error", err)
	}
}

// Time that the reader spends between two reads does not count as silence.
func TestASlowReaderIsNotASilentPeer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "abc")
	}))
	defer server.Close()
	client := httpclient.NewClient(httpclient.Limits{Connect: late, Answer: late, Stall: soon}, nil)
	defer client.CloseIdleConnections()
	response, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for want := range strings.SplitSeq("abc", "") {
		time.Sleep(soon + soon/2)
		got := make([]byte, 1)
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}
