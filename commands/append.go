package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
)

// An answer is what the log made of one event: a judgement, or why there is none.
type answer struct {
	projections.Judgement
	err error
}

// append appends events together, in order, and waits for the judgement of each. If ctx
// ends the wait, those that are left have [eventlog.ErrOutcomeUnknown].
func (x *Executor) append(ctx context.Context, batch ...events.Event) []answer {
	answers := make([]answer, len(batch))
	ctx, span := x.beginSpan(ctx, len(batch))
	carried := traceParent(ctx)
	judgements := make([]<-chan projections.Judgement, len(batch))
	for i := range batch {
		batch[i].TraceParent = carried
		judgement, forget := x.Model.Expect(batch[i].ID)
		defer forget()
		judgements[i] = judgement
	}
	began := time.Now()
	_, err := x.Log.Append(ctx, batch...)
	x.Metrics.appended(began, err)
	endSpan(span, err)
	if err != nil && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		for i := range answers {
			answers[i].err = err
		}
		return answers
	}
	// Also after an append that was not confirmed: the events may come by all the same,
	// and then the outcome is known after all.
	for i := range answers {
		var ok bool
		if answers[i].Judgement, ok = await(ctx, judgements[i]); ok {
			x.Metrics.judged(began, answers[i].Verdict)
		} else {
			answers[i].err = fmt.Errorf("%w: no verdict within %s", eventlog.ErrOutcomeUnknown, x.Wait)
			x.Metrics.unjudged()
		}
	}
	return answers
}

// await waits for a judgement. One that is there counts, also when ctx has ended.
func await(ctx context.Context, judgement <-chan projections.Judgement) (j projections.Judgement, ok bool) {
	select {
	case j = <-judgement:
		return j, true
	case <-ctx.Done():
	}
	select {
	case j = <-judgement:
		return j, true
	default:
		return j, false
	}
}

// beginSpan begins the span of an append. Its events carry it, so that what each node
// does with them is part of the same trace.
func (x *Executor) beginSpan(ctx context.Context, count int) (context.Context, trace.Span) {
	tracer := x.Tracer
	if tracer == nil {
		tracer = noop.Tracer{}
	}
	return tracer.Start(ctx, "append "+x.Log.Topic(), trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		semconv.MessagingSystemKafka,
		semconv.MessagingOperationName("append"),
		semconv.MessagingDestinationName(x.Log.Topic()),
		semconv.MessagingBatchMessageCount(count),
	))
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// traceParent writes the trace that ctx belongs to as its standard has it; empty if it
// belongs to none.
func traceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
