package web

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/process/logging"
)

// traceRequests continues the client's trace, and creates a span for each request if tracing is
// on. If it is off, the client's trace is passed on nevertheless: events carry it to other nodes,
// where tracing may be on.
func traceRequests(provider trace.TracerProvider) echo.MiddlewareFunc {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	_, off := provider.(noop.TracerProvider)
	tracer := provider.Tracer("github.com/clusterlite/clusterlite/service/httpapi/web")
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if off && r.Header.Get("Traceparent") == "" {
				return next(c) // nothing to do; this is the path of most requests
			}
			ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
			ctx, span := tracer.Start(ctx, spanMethod(r), trace.WithSpanKind(trace.SpanKindServer))
			defer span.End()
			c.SetRequest(r.WithContext(ctx))
			err := next(c)
			if span.IsRecording() {
				describe(span, c)
			}
			return err
		}
	}
}

// describe sets the attributes of a span, once the route and the status are known.
func describe(span trace.Span, c echo.Context) {
	r, status := c.Request(), c.Response().Status
	span.SetAttributes(
		semconv.HTTPRequestMethodKey.String(spanMethod(r)),
		semconv.URLPath(r.URL.Path),
		semconv.HTTPResponseStatusCode(status),
		attribute.String("clusterlite.request_id", logging.RequestID(r.Context())),
	)
	if who := caller.Of(r.Context()); !who.IsAnonymous() {
		span.SetAttributes(semconv.UserName(who.Name))
	}
	if route := c.Path(); route != "" {
		span.SetName(spanMethod(r) + " " + route)
		span.SetAttributes(semconv.HTTPRoute(route))
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
}

// spanMethod keeps clients from inventing names of spans.
func spanMethod(r *http.Request) string {
	if m := knownMethod(r.Method); m != otherMethod {
		return m
	}
	return "HTTP"
}
