// Package appending appends events to the log and waits for their verdicts.
//
// An event only takes effect if admission accepts it, and every reader of the log comes to the
// same verdict. So the writer reads its own events back, through a projection, to learn what
// became of them.
package appending

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/expiry"
	"github.com/clusterlite/clusterlite/projections/verdicts"
)

// A Log is what an [Appender] needs of the log. It must be safe for concurrent use.
type Log interface {
	// Append appends events in order. The errors are those of [eventlog.Log.Append]: if one
	// wraps [eventlog.ErrOutcomeUnknown], the events may still arrive.
	Append(ctx context.Context, batch ...events.Event) (events.Position, error)
	// AppendUntil appends one event and waits until known is closed, as [eventlog.Log.AppendUntil].
	AppendUntil(ctx context.Context, known <-chan struct{}, e events.Event) (confirmed time.Time, err error)
}

// A Model is what an [Appender] needs of a projection that follows the log. It must be safe for
// concurrent use.
type Model interface {
	// Expect returns the expectation of the judgement of an event. It is called before the event is
	// appended. The caller calls Forget when it stops waiting.
	Expect(eventID string) *verdicts.Expectation
	// Stuck returns why the model can't apply the log, or nil.
	Stuck() error
}

// An Observer is informed about appends and verdicts, for example to count them. It must be
// safe for concurrent use.
type Observer interface {
	// Appended reports how long an append took, and its error.
	Appended(took time.Duration, err error)
	// Judged reports the verdict on one event.
	Judged(began time.Time, v events.Verdict)
	// Unjudged reports that no verdict on an event arrived in time.
	Unjudged()
}

// An Appender appends events and waits for their verdicts. Safe for concurrent use.
type Appender struct {
	Log Log
	// Model follows the same log.
	Model Model
	// Observer may be nil.
	Observer Observer
}

// An Outcome is the result of appending one event: either its judgement, or the error that
// prevented one.
type Outcome struct {
	verdicts.Judgement
	// Err is an error of [Log.Append] or [Model.Stuck] if the event was not appended, and a
	// [NoVerdictError] if its outcome is unknown.
	Err error
}

// A NoVerdictError means that the event was appended, or may have been, and that no verdict
// arrived in time. It wraps [eventlog.ErrOutcomeUnknown].
type NoVerdictError struct {
	// Confirmed reports whether the log has the event.
	Confirmed bool
	// Waited is the time since the start of the append.
	Waited time.Duration
	// Stuck is the reason why the model could not give the verdict. It is nil if the model
	// reports no fault.
	Stuck error
}

// Error says what is known about the event.
func (e *NoVerdictError) Error() string {
	text := "the log did not confirm the event"
	if e.Confirmed {
		text = "the event is in the log"
	}
	text += fmt.Sprintf(", and the verdict was not known within %s", e.Waited.Round(time.Millisecond))
	if e.Stuck != nil {
		text += ": " + e.Stuck.Error()
	}
	return text
}

// Unwrap returns [eventlog.ErrOutcomeUnknown]. It does not return Stuck, because an error that
// wraps Stuck means that nothing was appended.
func (e *NoVerdictError) Unwrap() error { return eventlog.ErrOutcomeUnknown }

// Append appends an event and waits for its verdict. It waits even if the append was not confirmed,
// because the event may arrive nevertheless. If ctx ends first, the error is a [NoVerdictError]. If
// the model is stuck, so that no verdict would arrive, Append appends nothing.
func (a Appender) Append(ctx context.Context, e events.Event) Outcome {
	if err := a.Model.Stuck(); err != nil {
		return Outcome{Err: err}
	}
	expected := a.Model.Expect(e.ID)
	defer expected.Forget()
	began := time.Now()
	confirmed, err := a.Log.AppendUntil(ctx, expected.Known(), e)
	a.appended(confirmed.Sub(began), err)
	if err != nil && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		return Outcome{Err: err}
	}
	return a.outcome(ctx, expected, began, err == nil)
}

// A Sent is a batch of events that was appended, or could not be.
type Sent struct {
	appender  Appender
	began     time.Time
	failed    error // why nothing was appended
	confirmed bool
	expected  []*verdicts.Expectation
}

// Send appends events together, in order. It returns once the log has confirmed them or has
// failed to, so that the caller can do something else before it waits for the verdicts. If the model
// is stuck, Send appends nothing. The caller must call [Sent.Wait] once.
func (a Appender) Send(ctx context.Context, batch []events.Event) *Sent {
	s := &Sent{appender: a, expected: make([]*verdicts.Expectation, len(batch))}
	if s.failed = a.Model.Stuck(); s.failed != nil {
		return s
	}
	for i := range batch {
		s.expected[i] = a.Model.Expect(batch[i].ID)
	}
	s.began = time.Now()
	_, err := a.Log.Append(ctx, batch...)
	a.appended(time.Since(s.began), err)
	if err != nil && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		s.failed = err
	}
	s.confirmed = err == nil
	return s
}

// Wait waits for the verdict on each event, as [Appender.Append] does, and returns the outcomes in
// the order of the events.
func (s *Sent) Wait(ctx context.Context) []Outcome {
	outcomes := make([]Outcome, len(s.expected))
	for i, expected := range s.expected {
		if s.failed != nil {
			outcomes[i].Err = s.failed
		} else {
			outcomes[i] = s.appender.outcome(ctx, expected, s.began, s.confirmed)
		}
		if expected != nil { // nil if nothing was appended
			expected.Forget()
		}
	}
	return outcomes
}

func (a Appender) appended(took time.Duration, err error) {
	if a.Observer != nil {
		a.Observer.Appended(took, err)
	}
}

// outcome waits for a judgement. One that has already arrived counts even if ctx has ended.
func (a Appender) outcome(ctx context.Context, expected *verdicts.Expectation, began time.Time, confirmed bool) Outcome {
	judgement, known := expected.Judgement()
	if !known {
		ended, expired := expiry.Done(ctx)
		select {
		case <-expected.Known():
		case <-ended:
		case <-expired:
		}
		judgement, known = expected.Judgement()
	}
	if !known {
		if a.Observer != nil {
			a.Observer.Unjudged()
		}
		return Outcome{Err: &NoVerdictError{Confirmed: confirmed, Waited: time.Since(began), Stuck: a.Model.Stuck()}}
	}
	if a.Observer != nil {
		a.Observer.Judged(began, judgement.Verdict)
	}
	return Outcome{Judgement: judgement}
}
