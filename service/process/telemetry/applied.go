package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
)

// oldest is the maximum age of an event for which a span is sent. A node that builds its
// file from the log must not send spans of old events again, because their traces have long
// ended.
const oldest = 15 * time.Minute

// Applied returns a function that sends a span for each append whose events a batch
// contains, as a child of the append's span, if the trace is sampled and recent. So the
// trace of a write shows when each node applied it.
func Applied(provider trace.TracerProvider, topic string) func(projections.Batch) {
	tracer := provider.Tracer("github.com/clusterlite/clusterlite/service/process/telemetry")
	return func(b projections.Batch) {
		for _, a := range sampled(b) {
			ctx := trace.ContextWithRemoteSpanContext(context.Background(), a.by)
			_, span := tracer.Start(ctx, "apply "+topic, trace.WithTimestamp(b.Began), trace.WithSpanKind(trace.SpanKindConsumer),
				trace.WithAttributes(
					semconv.MessagingSystemKafka,
					semconv.MessagingOperationName("apply"),
					semconv.MessagingDestinationName(topic),
					semconv.MessagingKafkaOffset(int(a.first.Offset)),
					semconv.MessagingBatchMessageCount(a.events),
					attribute.String("clusterlite.event_type", a.first.Event.Type()),
					attribute.String("clusterlite.entity_id", a.first.Event.EntityID),
					attribute.Int("clusterlite.voids", a.voids),
				))
			span.End(trace.WithTimestamp(b.Ended))
		}
	}
}

// An appended is the part of an append that one batch contains.
type appended struct {
	by            trace.SpanContext
	first         events.Record
	events, voids int
}

// sampled finds the appends of a batch that get a span, in the order of the log.
func sampled(b projections.Batch) []*appended {
	var found []*appended
	byParent := map[string]*appended{}
	for r, v := range b.All() {
		if r.Event.TraceParent == "" || b.Ended.Sub(r.Timestamp) > oldest {
			continue
		}
		a := byParent[r.Event.TraceParent]
		if a == nil {
			a = &appended{by: parse(r.Event.TraceParent), first: r}
			byParent[r.Event.TraceParent] = a
			if a.by.IsSampled() {
				found = append(found, a)
			}
		}
		a.events++
		if v.Outcome == events.Void {
			a.voids++
		}
	}
	return found
}

// parse reads a W3C trace context. An invalid one is treated as not sampled.
func parse(traceParent string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceParent})
	return trace.SpanContextFromContext(ctx)
}
