package telemetry

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// newExporter creates the exporter that the variables ask for: OTLP by HTTP or gRPC, or
// lines on standard output. [CheckVariables] has rejected all other values. The exporters
// read their own variables: endpoint, headers, compression, timeout and certificates.
func newExporter(ctx context.Context, getenv func(string) string) (sdktrace.SpanExporter, error) {
	if strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")) == "console" {
		return stdouttrace.New()
	}
	if protocol(getenv) == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// protocol returns the OTLP protocol that the variables ask for, or an empty string for the
// default, which is http/protobuf.
func protocol(getenv func(string) string) string {
	if p := strings.TrimSpace(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")); p != "" {
		return p
	}
	return strings.TrimSpace(getenv("OTEL_EXPORTER_OTLP_PROTOCOL"))
}
