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
	"github.com/clusterlite/clusterlite/projections"
)

// A Log is what an [Appender] needs of the log. It must be safe for concurrent use.
type Log interface {
	// Append appends events in order. The errors are those of [eventlog.Log.Append]: if one
	// wraps [eventlog.ErrOutcomeUnknown], the events may still arrive.
	Append(ctx context.Context, batch ...events.Event) (events.Position, error)
}

// A Model is what an [Appender] needs of a projection that follows the log. It must be safe for
// concurrent use.
type Model interface {
	// Expect returns the channel on which the verdict on an event will arrive. It is called
	// before the event is appended. The caller calls forget when it stops waiting.
	Expect(eventID string) (judgement <-chan projections.Judgement, forget func())
	// Stuck returns why the model can't apply the log, or nil.
	Stuck() error
}

// An Observer is informed about appends and verdicts, for example to count them. It must be
// safe for concurrent use.
type Observer interface {
	// Appended reports the end of an append, and its error.
	Appended(began time.Time, err error)
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
	projections.Judgement
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

// A Sent is a batch of events that was appended, or could not be.
type Sent struct {
	appender   Appender
	began      time.Time
	failed     error // why nothing was appended
	confirmed  bool
	judgements []<-chan projections.Judgement
	forget     []func()
	outcomes   []Outcome
	single     single
}

// single is the memory of a batch of one event, which most batches are.
type single struct {
	judgement [1]<-chan projections.Judgement
	forget    [1]func()
	outcome   [1]Outcome
}

func newSent(a Appender, events int) *Sent {
	s := &Sent{appender: a}
	if events == 1 {
		s.judgements, s.forget, s.outcomes = s.single.judgement[:], s.single.forget[:], s.single.outcome[:]
	} else {
		s.judgements, s.forget, s.outcomes = make([]<-chan projections.Judgement, events), make([]func(), events), make([]Outcome, events)
	}
	return s
}

// Send appends events together, in order. It returns once the log has confirmed them or has
// failed to. If the model is stuck, so that no verdict would arrive, Send appends nothing.
// The caller must call [Sent.Wait] once.
func (a Appender) Send(ctx context.Context, batch []events.Event) *Sent {
	s := newSent(a, len(batch))
	if s.failed = a.Model.Stuck(); s.failed != nil {
		return s
	}
	for i := range batch {
		s.judgements[i], s.forget[i] = a.Model.Expect(batch[i].ID)
	}
	s.began = time.Now()
	_, err := a.Log.Append(ctx, batch...)
	if a.Observer != nil {
		a.Observer.Appended(s.began, err)
	}
	if err != nil && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		s.failed = err
	}
	s.confirmed = err == nil
	return s
}

// Wait waits for the verdict on each event and returns the outcomes in the order of the events.
// It waits even if the append was not confirmed, because the events may arrive nevertheless. If
// ctx ends first, the remaining outcomes have a [NoVerdictError].
func (s *Sent) Wait(ctx context.Context) []Outcome {
	defer func() {
		for _, forget := range s.forget {
			if forget != nil { // nil if nothing was appended
				forget()
			}
		}
	}()
	outcomes := s.outcomes
	for i := range outcomes {
		if s.failed != nil {
			outcomes[i].Err = s.failed
			continue
		}
		var ok bool
		outcomes[i].Judgement, ok = receive(ctx, s.judgements[i])
		if !ok {
			outcomes[i].Err = &NoVerdictError{Confirmed: s.confirmed, Waited: time.Since(s.began), Stuck: s.appender.Model.Stuck()}
		}
		s.observe(outcomes[i])
	}
	return outcomes
}

func (s *Sent) observe(o Outcome) {
	switch observer := s.appender.Observer; {
	case observer == nil:
	case o.Err != nil:
		observer.Unjudged()
	default:
		observer.Judged(s.began, o.Verdict)
	}
}

// receive waits for a judgement. One that has already arrived counts even if ctx has ended.
func receive(ctx context.Context, judgement <-chan projections.Judgement) (j projections.Judgement, ok bool) {
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
