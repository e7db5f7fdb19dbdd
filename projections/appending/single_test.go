package appending_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/appending"
)

// A begunFake is a fake that can begin an append. Tests put the outcome into its channels.
type begunFake struct {
	*fake
	begin     func() error
	confirmed chan time.Time
	failed    chan error
	abandoned error
}

func newBegunFake() *begunFake {
	return &begunFake{fake: &fake{}, confirmed: make(chan time.Time, 1), failed: make(chan error, 1), abandoned: eventlog.ErrUnreachable}
}

func (f *begunFake) Begin(context.Context, events.Event) (appending.Pending, error) {
	if f.begin != nil {
		return nil, f.begin()
	}
	return f, nil
}

func (f *begunFake) Confirmed() <-chan time.Time { return f.confirmed }
func (f *begunFake) Failed() <-chan error        { return f.failed }
func (f *begunFake) Abandon() error              { return f.abandoned }

func TestAnAppendThatWasBegun(t *testing.T) {
	ambiguous := fmt.Errorf("%w: no answer", eventlog.ErrOutcomeUnknown)
	for name, c := range map[string]struct {
		// steps are what happens, one second after the other.
		steps   []func(f *begunFake)
		prepare func(f *begunFake)
		took    time.Duration
		want    error // nil for the verdict
		// confirmed is what a NoVerdictError says.
		confirmed bool
		counts    counts
	}{
		"confirmed, then judged":       {steps: []func(*begunFake){confirm, judge}, took: 2 * time.Second, counts: counts{appends: 1, judged: 1}},
		"judged, then confirmed":       {steps: []func(*begunFake){judge, confirm}, took: 2 * time.Second, counts: counts{appends: 1, judged: 1}},
		"judged, and never confirmed":  {steps: []func(*begunFake){judge}, prepare: func(f *begunFake) { f.abandoned = ambiguous }, took: 10 * time.Second, counts: counts{appends: 1, failures: 1, judged: 1}},
		"unconfirmed, then judged":     {steps: []func(*begunFake){fail(ambiguous), judge}, took: 2 * time.Second, counts: counts{appends: 1, failures: 1, judged: 1}},
		"failed":                       {steps: []func(*begunFake){fail(eventlog.ErrTooLarge)}, took: time.Second, want: eventlog.ErrTooLarge, counts: counts{appends: 1, failures: 1}},
		"confirmed, and never judged":  {steps: []func(*begunFake){confirm}, took: 10 * time.Second, want: eventlog.ErrOutcomeUnknown, confirmed: true, counts: counts{appends: 1, unjudged: 1}},
		"neither confirmed nor judged": {prepare: func(f *begunFake) { f.abandoned = ambiguous }, took: 10 * time.Second, want: eventlog.ErrOutcomeUnknown, counts: counts{appends: 1, failures: 1, unjudged: 1}},
		"never sent":                   {took: 10 * time.Second, want: eventlog.ErrUnreachable, counts: counts{appends: 1, failures: 1}},
		"refused":                      {prepare: func(f *begunFake) { f.begin = func() error { return eventlog.ErrClosed } }, want: eventlog.ErrClosed, counts: counts{appends: 1, failures: 1}},
		"the model is stuck":           {prepare: func(f *begunFake) { f.stuck = errFull }, want: errFull},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, got := newBegunFake(), &counts{}
				if c.prepare != nil {
					c.prepare(f)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				go func() {
					for _, step := range c.steps {
						time.Sleep(time.Second)
						step(f)
					}
				}()
				began := time.Now()
				o := appending.Appender{Log: f, Model: f, Observer: got}.Append(ctx, events.Event{ID: "a"})
				if took := time.Since(began); took != c.took {
					t.Errorf("got an outcome after %s, want %s", took, c.took)
				}
				var no *appending.NoVerdictError
				switch {
				case c.want == nil && o != appending.Outcome{Judgement: admitted}:
					t.Errorf("got %+v, want %+v", o, admitted)
				case !errors.Is(o.Err, c.want):
					t.Errorf("got %v, want %v", o.Err, c.want)
				case errors.As(o.Err, &no) && no.Confirmed != c.confirmed:
					t.Errorf("got confirmed %v, want %v", no.Confirmed, c.confirmed)
				}
				if *got != c.counts {
					t.Errorf("got %+v, want %+v", *got, c.counts)
				}
				allForgotten(t, f.fake)
				time.Sleep(time.Minute) // so that all steps end
			})
		})
	}
}

var errFull = errors.New("the disk is full")

func confirm(f *begunFake) { f.confirmed <- time.Now() }

func judge(f *begunFake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judge("a", admitted)
}

func fail(err error) func(*begunFake) { return func(f *begunFake) { f.failed <- err } }
