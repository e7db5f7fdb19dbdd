package httpclient

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// NewClient returns an HTTP client that enforces the limits. Its errors wrap a
// [SilentError] if the peer was silent, even if a deadline of the caller expired first.
// change, if not nil, changes the transport before its first use.
func NewClient(l Limits, change func(*http.Transport)) *http.Client {
	dialer := &net.Dialer{Timeout: l.Connect}
	inner := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &conn{c, l.Stall}, nil
		},
		TLSHandshakeTimeout: l.Connect,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	if change != nil {
		change(inner)
	}
	return &http.Client{Transport: &transport{inner, l}}
}

// conn bounds how long a peer may take to accept a part of a request. Otherwise a peer that
// does not read would block the sender forever.
type conn struct {
	net.Conn
	stall time.Duration
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

type transport struct {
	inner  *http.Transport
	limits Limits
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, watch, stop := NewWatch(r.Context(), r.URL.Host)
	stages := &stages{watch: watch, limits: t.limits}
	stages.reach(Connecting, t.limits.Connect)
	response, err := t.inner.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, stages.trace())))
	stages.end()
	if err != nil {
		stop()
		return nil, watch.Err(err)
	}
	response.Body = &body{NewReader(response.Body, watch, t.limits), response.Body, stop}
	return response, nil
}

// CloseIdleConnections closes connections that are kept for later requests.
func (t *transport) CloseIdleConnections() { t.inner.CloseIdleConnections() }

// body is the body of an answer.
type body struct {
	io.Reader
	closer io.Closer
	stop   func()
}

// Close implements [io.Closer].
func (b *body) Close() error {
	b.stop()
	return b.closer.Close()
}
