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
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/connection"
	"github.com/clusterlite/clusterlite/service/httpapi/ratelimit"
)

const (
	// maxHeaderBytes is the maximum size of a request's header. A larger one gets 431.
	maxHeaderBytes = 64 << 10
	// headerTimeout is the maximum time for a client to send its header.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection is kept without a request.
	idleTimeout = 2 * time.Minute
	// drainTimeout is the maximum time for requests in flight once the process stops.
	drainTimeout = 15 * time.Second
)

// Options configure a server.
type Options struct {
	Logger *slog.Logger
	// Registry takes the request metrics.
	Registry *prometheus.Registry
	// Tracing creates the spans of requests; nil creates none.
	Tracing trace.TracerProvider
	// Callers identifies who sent a request; nil means that all callers are anonymous.
	Callers caller.Identify
	// Rates limits the requests of each client; nil limits none.
	Rates *ratelimit.Limiter
	// CORS lists the scripts that may call the API.
	CORS CORS
	// Uncompressed turns compression of responses off, whatever clients accept.
	Uncompressed bool
	// MaxBody is the maximum size of a body, in bytes, after decompression.
	MaxBody int64
	// Limits bound what the server accepts at once.
	Limits Limits
}

// New returns an echo server with everything except routes. An error of a handler that is a
// *problem.Problem is sent as such, any other as a problem with status 500.
func New(o Options) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = errorHandler(o.Logger)
	e.Use(link(o))
	return e
}

// Listen binds the address. It is separate from Serve so that a port that is in use is
// detected before anything else starts.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

// Draining returns a channel that is closed once the server of a request accepts no more
// requests and waits for those in flight. A request that may take long should then end, if it
// can do so in an orderly way. The channel is nil, and so never closed, for a request that no
// server has accepted.
func Draining(ctx context.Context) <-chan struct{} {
	if s, ok := ctx.Value(servingKey{}).(*serving); ok {
		return s.draining
	}
	return nil
}

// Serve serves requests until ctx ends. Then it accepts no more, and returns once those in
// flight are done, or after 15 seconds. encryption returns the TLS configuration of a new
// connection; if it is nil, connections are plaintext. Encrypted connections may use HTTP/2.
func Serve(ctx context.Context, l net.Listener, encryption func() *tls.Config, h http.Handler, logger *slog.Logger) error {
	all := newServing(logger)
	s := &http.Server{
		Handler:           endAfterChunks(h),
		BaseContext:       func(net.Listener) context.Context { return all.ctx },
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
	if encryption == nil {
		watched := connection.Listen(l)
		defer watched.Stop()
		l, s.ConnContext = watched, watched.Context
	}
	go func() { served <- serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	close(all.draining)
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := s.Shutdown(drain)
	all.end(drain)
	if err != nil {
		// Break off what still hangs. Otherwise its goroutine would outlive what it uses.
		return errors.Join(fmt.Errorf("requests did not finish within %s: %w", drainTimeout, err), s.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// endAfterChunks closes the connection of an HTTP/1 request after its response if the request's
// body is chunked. Such a request may also have had a Content-Length, which net/http ignores and
// removes. A proxy that trusted that length would see the request end elsewhere, and the rest of
// its body would be executed as a request of its own (RFC 9112, section 6.1).
func endAfterChunks(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
