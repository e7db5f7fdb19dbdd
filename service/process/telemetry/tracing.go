// Package telemetry sets up traces from the standard OTEL_… variables, and has what all metrics
// share. Packages node, web and commands import it.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// flushTimeout bounds how long a stopping process waits until its last spans are sent.
const flushTimeout = 5 * time.Second

// A Process identifies the process that creates the spans.
type Process struct{ Role, Node, Version string }

// StartTracing creates the provider that the OTEL_… variables configure. Without them, the
// provider creates no spans and costs nothing. stop sends the remaining spans, for at most
// five seconds. Spans that can't be sent are lost; that is logged but is not an error,
// because an unreachable collector must not make the process fail. An invalid variable
// does: the error names it.
func StartTracing(ctx context.Context, p Process, logger *slog.Logger) (provider trace.TracerProvider, stop func(), err error) {
	if err := CheckVariables(os.Getenv); err != nil {
		return nil, nil, err
	}
	if !wanted(os.Getenv) {
		return noop.NewTracerProvider(), func() {}, nil
	}
	exporter, err := newExporter(ctx, os.Getenv)
	if err != nil {
		return nil, nil, fmt.Errorf("set up traces from the OTEL_… variables: %w", err)
	}
	// The environment comes last and therefore takes precedence.
	who, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			semconv.ServiceName("clusterlite-"+p.Role),
			semconv.ServiceInstanceID(p.Node),
			semconv.ServiceVersion(p.Version),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The library has one error handler per process, which gets the errors of failed
	// exports.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("traces", "error", err) }))
	// The provider reads the sampler and the limits from the environment by itself.
	sdk := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(who))
	return sdk, func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		defer cancel()
		if err := sdk.Shutdown(ctx); err != nil {
			logger.Warn("trace spans were lost", "error", err)
		}
	}, nil
}

// wanted reports whether a variable asks for traces. By its specification, the SDK sends them to
// localhost by default. A process that is not configured for traces must not send data about
// clients anywhere.
func wanted(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER")); exporter != "" {
		return exporter != "none"
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}
