package commands

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// A tracedLog appends to the log of an executor. Each append is a span, and its events carry the
// trace, so that the work that every node does with them is part of it. They also carry the name
// of the caller whose request appends them.
type tracedLog Executor

// Append sets the trace and the actor of the events and appends them.
func (x *tracedLog) Append(ctx context.Context, batch ...events.Event) (events.Position, error) {
	ctx, span := x.beginSpan(ctx, len(batch))
	carried, actor := traceParent(ctx), caller.Of(ctx).Name
	for i := range batch {
		batch[i].TraceParent, batch[i].Actor = carried, actor
	}
	position, err := x.Log.Append(ctx, batch...)
	endSpan(span, time.Now(), err)
	return position, err
}

// AppendUntil does the same with one event. Its span ends when the append was confirmed.
func (x *tracedLog) AppendUntil(ctx context.Context, known <-chan struct{}, e events.Event) (time.Time, error) {
	ctx, span := x.beginSpan(ctx, 1)
	e.TraceParent, e.Actor = traceParent(ctx), caller.Of(ctx).Name
	confirmed, err := x.Log.AppendUntil(ctx, known, e)
	endSpan(span, confirmed, err)
	return confirmed, err
}

// endSpan ends a span at the time when an append succeeded, or now with the error.
func endSpan(span trace.Span, at time.Time, err error) {
	switch {
	case !span.IsRecording(): // an option would be allocated for nothing
	case err != nil:
		span.SetStatus(codes.Error, err.Error())
	default:
		span.End(trace.WithTimestamp(at))
		return
	}
	span.End()
}

func (x *tracedLog) beginSpan(ctx context.Context, count int) (context.Context, trace.Span) {
	tracer := x.Tracer
	if _, off := tracer.(noop.Tracer); tracer == nil || off {
		return ctx, noop.Span{} // without attributes, which cost more than a span
	}
	return tracer.Start(ctx, "append "+x.Log.Topic(), trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		semconv.MessagingSystemKafka,
		semconv.MessagingOperationName("append"),
		semconv.MessagingDestinationName(x.Log.Topic()),
		semconv.MessagingBatchMessageCount(count),
	))
}

// traceParent returns the W3C trace context of ctx, or an empty string if ctx belongs to no
// trace.
func traceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
