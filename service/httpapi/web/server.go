// Package web is the HTTP server of every API listener. It brings request ids, traces, access
// logs, metrics, CORS, problem details, limits against slow and large requests, compression,
// and resources that know all their methods. The chain of middleware is in middleware.go.
//
// Package contract declares the resources with it. commands, queryapi and node use it to serve
// them.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/netutil"
)

const (
	// maxHeaderBytes bounds a request's header; beyond it the answer is 431.
	maxHeaderBytes = 64 << 10
	// headerTimeout is how long a client may take for its header.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection without a request is kept.
	idleTimeout = 2 * time.Minute
	// drainTimeout is how long requests in flight may take once the process is to stop.
	drainTimeout = 15 * time.Second
)

// Options say how a server behaves.
type Options struct {
	Logger *slog.Logger
	// Registry takes the request metrics.
	Registry *prometheus.Registry
	// Tracing makes the spans of requests; nil makes none.
	Tracing trace.TracerProvider
	// CORS says which scripts may call the API.
	CORS CORS
	// Uncompressed tells that answers are never compressed, whatever clients accept.
	Uncompressed bool
	// MaxBody is the largest body, in bytes, after decompression.
	MaxBody int64
	// Limits bound what is taken on at once.
	Limits Limits
}

// New makes an echo server with everything but routes. Handlers return errors; one that
// is a *problem.Problem is answered as such, any other as 500.
func New(o Options) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = errorHandler(o.Logger)
	chain := []echo.MiddlewareFunc{
		identify(),
		traceRequests(o.Tracing),
		observe(o.Logger, o.Registry),
		recoverPanics(),
		o.CORS.middleware(),
	}
	if o.Uncompressed {
		chain = append(chain, uncompressed)
	}
	e.Use(once(append(chain, newCapacity(o.Limits, o.MaxBody, o.Registry).admit())))
	return e
}

// once links the middlewares now. Echo would link them again for each request, and allocate
// each. It must be the only middleware of the server.
func once(chain []echo.MiddlewareFunc) echo.MiddlewareFunc {
	linked := func(c echo.Context) error { return c.Handler()(c) }
	for _, m := range slices.Backward(chain) {
		linked = m(linked)
	}
	return func(echo.HandlerFunc) echo.HandlerFunc { return linked }
}

// Listen binds the address. It is apart from Serve so that a port that is in use is
// known before anything else is started.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// Limit has a listener hold so many connections at most. More wait in the operating
// system until one ends.
func Limit(l net.Listener, connections int) net.Listener {
	return netutil.LimitListener(l, connections)
}

type drainingKey struct{}

// Draining is closed once the server of a request takes no more and waits for those in
// flight. A request that could go on for long ends then, if it can do so in good order.
// It is nil, and so never closed, for a request that no server has taken.
func Draining(ctx context.Context) <-chan struct{} {
	draining, _ := ctx.Value(drainingKey{}).(chan struct{})
	return draining
}

// Serve answers requests until ctx ends. Then it takes no more, and returns once those
// in flight are answered, or after 15 seconds. encryption returns the TLS configuration of a
// new connection; if it is nil, connections are plaintext. Encrypted connections may use HTTP/2.
func Serve(ctx context.Context, l net.Listener, encryption func() *tls.Config, h http.Handler, logger *slog.Logger) error {
	draining := make(chan struct{})
	s := &http.Server{
		Handler: h,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), drainingKey{}, draining)
		},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	serve := s.Serve
	if encryption != nil {
		s.TLSConfig = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return encryption(), nil },
		}
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	go func() { served <- serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	close(draining)
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := s.Shutdown(drain); err != nil {
		// What still hangs is cut off, else its goroutine would outlive what it uses.
		return errors.Join(fmt.Errorf("requests did not finish within %s: %w", drainTimeout, err), s.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
