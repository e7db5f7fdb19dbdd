package appending_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/appending"
)

var (
	admitted = projections.Judgement{Position: 7, Verdict: events.Verdict{Outcome: events.Admitted}}
	void     = projections.Judgement{Position: 8, Verdict: events.Verdict{Outcome: events.Void, Reason: events.ReasonConflict}}
)

// A fake is a log together with the model that follows it.
type fake struct {
	mu       sync.Mutex
	expected map[string]chan projections.Judgement
	appended []string // ids in the order of the log
	// append is the result of an append. It is called after the events are in appended.
	append func() error
	stuck  error
}

func (f *fake) Append(_ context.Context, batch ...events.Event) (events.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range batch {
		f.appended = append(f.appended, e.ID)
	}
	if f.append == nil {
		return events.Position(len(f.appended)), nil
	}
	return 0, f.append()
}

func (f *fake) Expect(id string) (<-chan projections.Judgement, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.expected == nil {
		f.expected = map[string]chan projections.Judgement{}
	}
	f.expected[id] = make(chan projections.Judgement, 1)
	return f.expected[id], func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.expected, id)
	}
}

func (f *fake) Stuck() error { return f.stuck }

// judge delivers the verdict on an event.
func (f *fake) judge(id string, j projections.Judgement) { f.expected[id] <- j }

// counts is an observer that counts its calls.
type counts struct{ appends, failures, judged, unjudged int }

func (c *counts) Appended(_ time.Time, err error) {
	c.appends++
	if err != nil {
		c.failures++
	}
}
func (c *counts) Judged(time.Time, events.Verdict) { c.judged++ }
func (c *counts) Unjudged()                        { c.unjudged++ }

func batch(ids ...string) (all []events.Event) {
	for _, id := range ids {
		all = append(all, events.Event{ID: id})
	}
	return all
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// allForgotten fails unless the model no longer expects any event.
func allForgotten(t *testing.T, f *fake) {
	t.Helper()
	if n := len(f.expected); n != 0 {
		t.Errorf("got %d events that are still expected, want none", n)
	}
}

func TestVerdictsAreInTheOrderOfTheEvents(t *testing.T) {
	f, c := &fake{}, &counts{}
	sent := appending.Appender{Log: f, Model: f, Observer: c}.Send(t.Context(), batch("a", "b"))
	f.judge("b", void)
	f.judge("a", admitted)
	got := sent.Wait(t.Context())
	if len(got) != 2 || got[0] != (appending.Outcome{Judgement: admitted}) || got[1] != (appending.Outcome{Judgement: void}) {
		t.Errorf("got %+v, want %+v and %+v", got, admitted, void)
	}
	if want := (counts{appends: 1, judged: 2}); *c != want {
		t.Errorf("got %+v, want %+v", *c, want)
	}
	allForgotten(t, f)
}

// An append that was not confirmed may have happened. If the verdict arrives, the outcome is
// known after all.
func TestAVerdictSettlesAnUnconfirmedAppend(t *testing.T) {
	f := &fake{append: func() error { return eventlog.ErrOutcomeUnknown }}
	sent := appending.Appender{Log: f, Model: f}.Send(t.Context(), batch("a"))
	f.judge("a", admitted)
	if got := sent.Wait(t.Context()); got[0] != (appending.Outcome{Judgement: admitted}) {
		t.Errorf("got %+v, want %+v", got, admitted)
	}
	allForgotten(t, f)
}

func TestOutcomesWithoutAVerdict(t *testing.T) {
	broken := errors.New("the disk is full")
	for name, c := range map[string]struct {
		append, stuck error
		confirmed     bool
		says          string
	}{
		"confirmed":                {nil, nil, true, "the event is in the log, and the verdict was not known within"},
		"not confirmed":            {eventlog.ErrOutcomeUnknown, nil, false, "the log did not confirm the event, and the verdict was not known within"},
		"confirmed, model stuck":   {nil, broken, true, ": the disk is full"},
		"unconfirmed, model stuck": {eventlog.ErrOutcomeUnknown, broken, false, ": the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			f, count := &fake{}, &counts{}
			f.append = func() error {
				f.stuck = c.stuck // the model gets stuck during the append
				return c.append
			}
			got := appending.Appender{Log: f, Model: f, Observer: count}.Send(t.Context(), batch("a")).Wait(ended())[0].Err
			var no *appending.NoVerdictError
			if !errors.As(got, &no) || no.Confirmed != c.confirmed || !errors.Is(no.Stuck, c.stuck) {
				t.Fatalf("got %#v, want confirmed %v and stuck %v", got, c.confirmed, c.stuck)
			}
			if !errors.Is(got, eventlog.ErrOutcomeUnknown) || errors.Is(got, broken) {
				t.Errorf("got %v, want it to wrap only %v", got, eventlog.ErrOutcomeUnknown)
			}
			if !strings.Contains(got.Error(), c.says) {
				t.Errorf("got %q, want it to contain %q", got, c.says)
			}
			if count.unjudged != 1 || count.judged != 0 {
				t.Errorf("got %+v, want one unjudged event", *count)
			}
			allForgotten(t, f)
		})
	}
}

// A verdict that has arrived counts even if the context has ended.
func TestAVerdictAtTheLastMoment(t *testing.T) {
	for range 100 {
		f := &fake{}
		sent := appending.Appender{Log: f, Model: f}.Send(t.Context(), batch("a"))
		f.judge("a", admitted)
		if got := sent.Wait(ended())[0]; got.Err != nil {
			t.Fatalf("got %v, want %+v", got.Err, admitted)
		}
	}
}

func TestAnAppendThatFailed(t *testing.T) {
	for _, want := range []error{eventlog.ErrUnreachable, eventlog.ErrTooLarge, eventlog.ErrClosed} {
		f, count := &fake{append: func() error { return want }}, &counts{}
		got := appending.Appender{Log: f, Model: f, Observer: count}.Send(t.Context(), batch("a", "b")).Wait(t.Context())
		for _, o := range got {
			if !errors.Is(o.Err, want) || errors.Is(o.Err, eventlog.ErrOutcomeUnknown) {
				t.Errorf("got %v, want %v", o.Err, want)
			}
		}
		if want := (counts{appends: 1, failures: 1}); *count != want {
			t.Errorf("got %+v, want %+v", *count, want)
		}
		allForgotten(t, f)
	}
}

// Nothing is appended if the model cannot give a verdict.
func TestNothingIsAppendedWhileTheModelIsStuck(t *testing.T) {
	stuck := errors.New("the disk is full")
	f, count := &fake{stuck: stuck}, &counts{}
	got := appending.Appender{Log: f, Model: f, Observer: count}.Send(t.Context(), batch("a")).Wait(t.Context())
	if !errors.Is(got[0].Err, stuck) || errors.Is(got[0].Err, eventlog.ErrOutcomeUnknown) {
		t.Errorf("got %v, want %v", got[0].Err, stuck)
	}
	if len(f.appended) != 0 || *count != (counts{}) {
		t.Errorf("got %v appended and %+v, want nothing", f.appended, *count)
	}
}
