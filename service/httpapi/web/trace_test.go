package web_test

import (
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

const sampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestSpans(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	var fails error
	e := server(web.Options{Tracing: provider}, func(c echo.Context) error {
		if !trace.SpanFromContext(c.Request().Context()).IsRecording() {
			t.Error("got no recording span in the handler, want one")
		}
		return fails
	})
	servicetest.Do(e, "POST", "/things", "", "traceparent: "+sampledParent, "X-Request-Id: r-1")
	fails = problem.NotReady.New("x")
	servicetest.Do(e, "POST", "/things", "", "traceparent: nonsense")
	servicetest.Do(e, "BREW", "/nothing", "")
	spans := recorder.Ended()
	if len(spans) != 3 {
		t.Fatalf("got %d spans, want 3", len(spans))
	}
	first := spans[0]
	if p := first.Parent(); p.TraceID().String() != sampledParent[3:35] || p.SpanID().String() != sampledParent[36:52] || !p.IsRemote() {
		t.Errorf("got the parent %v, want the client's span", p)
	}
	if first.Name() != "POST /things" || first.SpanKind() != trace.SpanKindServer || first.Status().Code == codes.Error {
		t.Errorf("got %s, %v, %v, want POST /things of a server, without an error", first.Name(), first.SpanKind(), first.Status())
	}
	attributes := map[string]string{}
	for _, a := range first.Attributes() {
		attributes[string(a.Key)] = a.Value.String()
	}
	for name, want := range map[string]string{
		"http.request.method": "POST", "http.route": "/things", "url.path": "/things",
		"http.response.status_code": "200", "clusterlite.request_id": "r-1",
	} {
		if attributes[name] != want {
			t.Errorf("%s: got %q, want %q", name, attributes[name], want)
		}
	}
	if second := spans[1]; second.Parent().IsValid() || second.Status().Code != codes.Error {
		t.Errorf("a failed request: got parent %v, status %v, want no parent and an error", second.Parent(), second.Status())
	}
	if third := spans[2]; !strings.HasPrefix(third.Name(), "HTTP") || third.Status().Code == codes.Error {
		t.Errorf("a request without a known method and route: got %s, %v, want HTTP without an error", third.Name(), third.Status())
	}
}

// Without tracing, the client's trace continues, for the events that carry it.
func TestTheClientsTraceContinuesWithoutTracing(t *testing.T) {
	var got trace.SpanContext
	e := server(web.Options{}, func(c echo.Context) error {
		got = trace.SpanContextFromContext(c.Request().Context())
		return nil
	})
	for header, want := range map[string]bool{sampledParent: true, "nonsense": false, "": false} {
		servicetest.Do(e, "POST", "/things", "", "traceparent: "+header)
		if got.IsValid() != want || want && got.SpanID().String() != sampledParent[36:52] {
			t.Errorf("%q: got %v, want the client's span if the header is valid", header, got)
		}
	}
}
