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

// A VerdictError says that an event was appended, or may have been, and that its verdict did
// not come in time. It wraps [eventlog.ErrOutcomeUnknown].
type VerdictError struct {
	// Confirmed tells that the log has the event.
	Confirmed bool
	Wait      time.Duration
	// Stuck is why the write model can't tell the verdict, see
	// [projections.Projection.Stuck]; nil if nothing is known to be wrong with it.
	Stuck error
}

// Error says what is known.
func (e *VerdictError) Error() string {
	text := "the log did not confirm the event"
	if e.Confirmed {
		text = "the event is in the log"
	}
	text += fmt.Sprintf(", and the verdict was not known within %s", e.Wait)
	if e.Stuck != nil {
		text += ": " + e.Stuck.Error()
	}
	return text
}

// Unwrap makes it an unknown outcome. It is none of Stuck, by which nothing is done.
func (e *VerdictError) Unwrap() error { return eventlog.ErrOutcomeUnknown }

// append appends events together, in order, and waits for the judgement of each. If the
// write model is stuck, so that it would not come to know of them, nothing is appended. If
// ctx ends the wait, those that are left have a [VerdictError].
func (x *Executor) append(ctx context.Context, batch ...events.Event) []answer {
	return x.send(ctx, batch).wait(ctx)
}

// A sending is events that were appended together, or could not be.
type sending struct {
	x          *Executor
	began      time.Time
	failed     error // why nothing was appended
	confirmed  bool
	judgements []<-chan projections.Judgement
	forget     []func()
}

// send appends events together, in order. It returns once the log has confirmed them or
// could not. Call wait once.
func (x *Executor) send(ctx context.Context, batch []events.Event) *sending {
	s := &sending{x: x, judgements: make([]<-chan projections.Judgement, len(batch))}
	if s.failed = x.Model.Stuck(); s.failed != nil {
		return s
	}
	ctx, span := x.beginSpan(ctx, len(batch))
	carried := traceParent(ctx)
	s.forget = make([]func(), len(batch))
	for i := range batch {
		batch[i].TraceParent = carried
		s.judgements[i], s.forget[i] = x.Model.Expect(batch[i].ID)
	}
	s.began = time.Now()
	_, err := x.Log.Append(ctx, batch...)
	x.Metrics.appended(s.began, err)
	endSpan(span, err)
	if err != nil && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		s.failed = err
	}
	s.confirmed = err == nil
	return s
}

// wait waits for the judgement of each event, also after an append that was not confirmed:
// the events may come by all the same, and then the outcome is known after all.
func (s *sending) wait(ctx context.Context) []answer {
	defer func() {
		for _, forget := range s.forget {
			forget()
		}
	}()
	answers := make([]answer, len(s.judgements))
	for i := range answers {
		if s.failed != nil {
			answers[i].err = s.failed
			continue
		}
		var ok bool
		if answers[i].Judgement, ok = await(ctx, s.judgements[i]); ok {
			s.x.Metrics.judged(s.began, answers[i].Verdict)
		} else {
			answers[i].err = &VerdictError{Confirmed: s.confirmed, Wait: s.x.Wait, Stuck: s.x.Model.Stuck()}
			s.x.Metrics.unjudged()
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
	if _, off := tracer.(noop.Tracer); tracer == nil || off {
		return noop.Tracer{}.Start(ctx, "") // without attributes, which cost more than the span
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
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
