package web

import (
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/process/telemetry"
)

// observe counts and logs requests. It answers errors itself, so that it sees the status.
func observe(logger *slog.Logger, registry *prometheus.Registry) echo.MiddlewareFunc {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "clusterlite_http_requests_total", Help: "Requests served, by method, route and status.",
	}, []string{"method", "route", "status"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "clusterlite_http_request_duration_seconds", Help: "Time from the header of a request to the end of its response.",
		Buckets: telemetry.Seconds,
	}, []string{"method", "route"})
	inFlight := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "clusterlite_http_requests_in_flight", Help: "Requests being served.",
	})
	registry.MustRegister(requests, seconds, inFlight)
	kinds := newKinds(requests, seconds)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			if r := requestOf(c); r != nil {
				r.inFlight = inFlight
			}
			inFlight.Inc()
			defer inFlight.Dec()
			if err := next(c); err != nil {
				c.Error(err)
			}
			took := time.Since(start)
			status := c.Response().Status
			counted := kinds.of(c.Request().Method, c.Path(), status)
			counted.requests.Inc()
			counted.seconds.Observe(took.Seconds())
			if ctx := c.Request().Context(); logger.Enabled(ctx, slog.LevelDebug) {
				fields := []any{"method", c.Request().Method, "path", c.Request().URL.Path, "status", status, "bytes", c.Response().Size, "took", took}
				if who := caller.Of(ctx); !who.IsAnonymous() {
					fields = append(fields, "caller", who.Name)
				}
				logger.DebugContext(ctx, "request", fields...)
			}
			return nil
		}
	}
}

// A kind is the combination of labels by which the metrics distinguish requests.
type kind struct {
	method, route string
	status        int
}

// A counted holds the metrics of one kind.
type counted struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

// kinds finds the metrics of a kind. Looking them up in the library by their labels would cost
// more than counting. Methods, routes and statuses are few, so kinds are rarely added. Safe for
// concurrent use.
type kinds struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	mu    sync.Mutex // held to add one
	known atomic.Pointer[map[kind]counted]
}

func newKinds(requests *prometheus.CounterVec, seconds *prometheus.HistogramVec) *kinds {
	k := &kinds{requests: requests, seconds: seconds}
	k.known.Store(&map[kind]counted{})
	return k
}

func (k *kinds) of(method, route string, status int) counted {
	wanted := kind{knownMethod(method), route, status}
	if found, ok := (*k.known.Load())[wanted]; ok {
		return found
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	label := route
	if label == "" {
		label = "none"
	}
	found := counted{k.requests.WithLabelValues(wanted.method, label, strconv.Itoa(status)), k.seconds.WithLabelValues(wanted.method, label)}
	more := maps.Clone(*k.known.Load())
	more[wanted] = found
	k.known.Store(&more)
	return found
}

// otherMethod is the label of all methods that HTTP does not define.
const otherMethod = "other"

// knownMethod keeps clients from inventing labels.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return otherMethod
}
