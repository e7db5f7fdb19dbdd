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

// oldest is how old an event may be for a span. A node that builds its file from the log
// must not send the past once more: those traces are long closed.
const oldest = 15 * time.Minute

// Applied tells traces that their events were applied: for each append that a batch has
// events of, and whose trace is sampled and not long past, a span that is the append's
// child. So the trace of a write shows when each node had it.
func Applied(provider trace.TracerProvider, topic string) func(projections.Batch) {
	tracer := provider.Tracer("github.com/clusterlite/clusterlite/service/telemetry")
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

// An appended is what one batch has of one append.
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

// parse reads a W3C trace context; what is none gives one that is not sampled.
func parse(traceParent string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceParent})
	return trace.SpanContextFromContext(ctx)
}
