package telemetry_test

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/clusterlite/clusterlite/service/logging"
	"github.com/clusterlite/clusterlite/service/telemetry"
)

var process = telemetry.Process{Role: "query", Node: "query-1", Version: "v0"}

// Nothing is sent unless a variable asks for it.
func TestTracesAreAskedFor(t *testing.T) {
	for _, s := range []struct {
		variables map[string]string
		on        bool
	}{
		{nil, false},
		{map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
	} {
		t.Run("", func(t *testing.T) {
			for name, value := range s.variables {
				t.Setenv(name, value)
			}
			provider, stop, err := telemetry.StartTracing(t.Context(), process, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			if _, off := provider.(noop.TracerProvider); off == s.on {
				t.Errorf("%v: on is %t", s.variables, !off)
			}
		})
	}
}

func TestBadVariablesAreRefused(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "carrier-pigeon", "OTEL_EXPORTER_OTLP_PROTOCOL": "x", "OTEL_RESOURCE_ATTRIBUTES": "no equals sign",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(name, value)
			if _, _, err := telemetry.StartTracing(t.Context(), process, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "OTEL_") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A collector that is away keeps no process from stopping, and the loss is told.
func TestSpansThatCanNotBeSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	if err := l.Close(); err != nil { // nobody there: refused, at once
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
	var out strings.Builder
	provider, stop, err := telemetry.StartTracing(t.Context(), process, logging.New(&out, "text", "info"))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "x")
	span.End()
	stop()
	if !strings.Contains(out.String(), "WARN") {
		t.Errorf("logged %q", out.String())
	}
}
