package appending

import (
	"context"
	"errors"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
)

// A Beginner is a [Log] that can append an event without waking its caller up for the append: the
// caller is woken up by the verdict, or by the failure of the append.
type Beginner interface {
	// Begin begins to append an event. The error is one of [Log.Append], and means that nothing
	// was sent.
	Begin(ctx context.Context, e events.Event) (Pending, error)
}

// A Pending is an append that was begun. See [eventlog.Appending], which implements it.
type Pending interface {
	// Confirmed receives the time at which the log had the event.
	Confirmed() <-chan time.Time
	// Failed receives the error of the append.
	Failed() <-chan error
	// Abandon returns the error of an append whose context has ended.
	Abandon() error
}

// Append appends one event and waits for its verdict. It does what [Appender.Send] and [Sent.Wait]
// do. The verdict alone does not suffice: Append also waits until the log has confirmed the event,
// or has failed to.
func (a Appender) Append(ctx context.Context, e events.Event) Outcome {
	beginner, ok := a.Log.(Beginner)
	if !ok {
		return a.Send(ctx, []events.Event{e}).Wait(ctx)[0]
	}
	if err := a.Model.Stuck(); err != nil {
		return Outcome{Err: err}
	}
	judgement, forget := a.Model.Expect(e.ID)
	defer forget()
	w := wait{appender: a, began: time.Now(), judgement: judgement}
	pending, err := beginner.Begin(ctx, e)
	if err != nil {
		w.appended(time.Since(w.began), err)
		return Outcome{Err: err}
	}
	return w.outcome(ctx, pending)
}

// A wait is the wait for an append and its verdict.
type wait struct {
	appender  Appender
	began     time.Time
	judgement <-chan projections.Judgement
}

func (w *wait) outcome(ctx context.Context, pending Pending) (o Outcome) {
	var err error
	judged, ended := false, false
	select {
	case o.Judgement = <-w.judgement:
		judged = true
		select {
		case at := <-pending.Confirmed(): // mostly there already
			w.appended(at.Sub(w.began), nil)
			ended = true
		default:
		}
	case err = <-pending.Failed():
		w.appended(time.Since(w.began), err)
		ended = true
	case <-ctx.Done():
	}
	if !ended {
		err = w.end(ctx, pending)
	}
	if err != nil && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		return Outcome{Err: err}
	}
	if !judged {
		if o.Judgement, judged = receive(ctx, w.judgement); !judged {
			o.Err = &NoVerdictError{Confirmed: err == nil, Waited: time.Since(w.began), Stuck: w.appender.Model.Stuck()}
		}
	}
	w.appender.observe(w.began, o)
	return o
}

// end waits for the end of the append, and returns its error.
func (w *wait) end(ctx context.Context, pending Pending) (err error) {
	var at time.Time
	select {
	case at = <-pending.Confirmed():
	case err = <-pending.Failed():
	case <-ctx.Done():
		select { // an end that was reported before counts
		case at = <-pending.Confirmed():
		case err = <-pending.Failed():
		default:
			err = pending.Abandon()
		}
	}
	if err != nil {
		w.appended(time.Since(w.began), err)
	} else {
		w.appended(at.Sub(w.began), nil)
	}
	return err
}

func (w *wait) appended(took time.Duration, err error) {
	if w.appender.Observer != nil {
		w.appender.Observer.Appended(took, err)
	}
}
