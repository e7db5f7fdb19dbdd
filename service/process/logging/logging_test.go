package logging_test

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"

	"github.com/clusterlite/clusterlite/service/process/logging"
)

func TestLinesCarryTheRequestID(t *testing.T) {
	for format, want := range map[string]string{"text": "request_id=r-1", "json": `"request_id":"r-1"`} {
		var out strings.Builder
		l := logging.New(&out, format, "info").With("node", "n-1").WithGroup("g")
		ctx := context.WithValue(context.Background(), logging.RequestIDKey{}, "r-1")
		l.InfoContext(ctx, "x")
		l.DebugContext(ctx, "hidden")
		l.InfoContext(context.Background(), "without")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], want) || strings.Contains(lines[1], "r-1") || !strings.Contains(lines[1], "n-1") {
			t.Errorf("%s: got %v, want two lines, the first with the request's id", format, lines)
		}
	}
	if logging.RequestID(context.Background()) != "" {
		t.Error("got a request id, want none")
	}
}

func TestLinesCarryTheTrace(t *testing.T) {
	var out strings.Builder
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	logging.New(&out, "text", "info").InfoContext(ctx, "x")
	if !strings.Contains(out.String(), "trace_id=4bf92f3577b34da6a3ce929d0e0e4736") {
		t.Errorf("got %s, want the id of the trace", out.String())
	}
}
