package web

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/service/telemetry"
)

// observe counts and logs requests. It answers errors itself, so that it sees the
// status.
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
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			inFlight.Inc()
			defer inFlight.Dec()
			if err := next(c); err != nil {
				c.Error(err)
			}
			took := time.Since(start)
			method, route, status := knownMethod(c.Request().Method), c.Path(), c.Response().Status
			if route == "" {
				route = "none"
			}
			requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
			seconds.WithLabelValues(method, route).Observe(took.Seconds())
			if ctx := c.Request().Context(); logger.Enabled(ctx, slog.LevelDebug) {
				logger.DebugContext(ctx, "request", "method", c.Request().Method, "path", c.Request().URL.Path,
					"status", status, "bytes", c.Response().Size, "took", took)
			}
			return nil
		}
	}
}

// otherMethod is what a method is called that is none of HTTP's.
const otherMethod = "other"

// knownMethod keeps a client from making up labels.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return otherMethod
}
