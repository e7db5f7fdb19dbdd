package telemetry_test

import (
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/clusterlite/clusterlite/service/process/logging"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/process/telemetry"
)

var process = telemetry.Process{Role: "query", Node: "query-1", Version: "v0"}

// Nothing is sent unless a variable asks for it.
func TestTracesAreSentOnlyOnRequest(t *testing.T) {
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
				t.Errorf("%v: got on %t, want %t", s.variables, !off, s.on)
			}
		})
	}
}

func TestBadVariablesAreRejected(t *testing.T) {
	for _, bad := range []struct{ name, value, allowed string }{
		{"OTEL_TRACES_EXPORTER", "carrier-pigeon", "otlp, console or none"}, {"OTEL_TRACES_EXPORTER", "zipkin", "otlp"}, {"OTEL_TRACES_EXPORTER", "OTLP", "otlp"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "x", "http/protobuf or grpc"}, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "grpc"},
		{"OTEL_RESOURCE_ATTRIBUTES", "no equals sign", "name=value"}, {"OTEL_EXPORTER_OTLP_HEADERS", "x", "name=value"}, {"OTEL_EXPORTER_OTLP_HEADERS", "a=%zz", "name=value"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318", "http://collector:4318"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "http://"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "http://"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "://x", "http://"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x", "http://"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:port", "http://"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:99999", "http://"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318", "http://"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "whole number"}, {"OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "gzip or none"}, {"OTEL_EXPORTER_OTLP_INSECURE", "perhaps", "true or false"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "always_on"}, {"OTEL_BSP_MAX_QUEUE_SIZE", "many", "whole number"}, {"OTEL_SDK_DISABLED", "yes", "true or false"},
	} {
		t.Run(bad.name+"="+bad.value, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv(bad.name, bad.value)
			_, _, err := telemetry.StartTracing(t.Context(), process, slog.New(slog.DiscardHandler))
			var usage *settings.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), bad.name+" is "+strconv.Quote(bad.value)) || !strings.Contains(err.Error(), bad.allowed) {
				t.Errorf("got %v, want a usage error that names %s and %q", err, bad.name, bad.allowed)
			}
		})
	}
	t.Run("a ratio", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_EXPORTER", "console")
		t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", "1%")
		if _, _, err := telemetry.StartTracing(t.Context(), process, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG") {
			t.Errorf("got %v, want an error that names OTEL_TRACES_SAMPLER_ARG", err)
		}
	})
}

// Values that the library accepts are not rejected.
func TestGoodVariablesAreAccepted(t *testing.T) {
	for _, variables := range []map[string]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example:4318/prefix", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc==, x=y", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_TIMEOUT": "1000"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
		{"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "not asked"},
		{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5", "OTEL_RESOURCE_ATTRIBUTES": "a=b,c=d"},
	} {
		t.Run("", func(t *testing.T) {
			for name, value := range variables {
				t.Setenv(name, value)
			}
			_, stop, err := telemetry.StartTracing(t.Context(), process, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatalf("%v: got %v, want no error", variables, err)
			}
			stop()
		})
	}
}

// An unreachable collector does not keep a process from stopping, and the loss is logged.
func TestSpansThatCannotBeSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
	if err := l.Close(); err != nil { // the address now refuses connections
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
		t.Errorf("got the log %q, want a warning", out.String())
	}
}
