package appending_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/appending"
	"github.com/clusterlite/clusterlite/projections/verdicts"
)

var (
	admitted = verdicts.Judgement{Position: 7, Verdict: events.Verdict{Outcome: events.Admitted}}
	void     = verdicts.Judgement{Position: 8, Verdict: events.Verdict{Outcome: events.Void, Reason: events.ReasonConflict}}
)

// A fake is a log together with the model that follows it.
type fake struct {
	mu       sync.Mutex
	expected verdicts.Expectations
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

func (f *fake) AppendUntil(ctx context.Context, known <-chan struct{}, e events.Event) (time.Time, error) {
	if _, err := f.Append(ctx, e); err != nil {
		return time.Time{}, err
	}
	select {
	case <-known:
	case <-ctx.Done():
	}
	return time.Now(), nil
}

func (f *fake) Expect(id string) *verdicts.Expectation { return f.expected.Expect(id) }

func (f *fake) Stuck() error { return f.stuck }

// judge delivers the verdict on an event.
func (f *fake) judge(id string, j verdicts.Judgement) {
	f.expected.Judge(maps.All(map[string]verdicts.Judgement{id: j}))
}

// counts is an observer that counts its calls.
type counts struct{ appends, failures, judged, unjudged int }

func (c *counts) Appended(_ time.Duration, err error) {
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

// ways are the ways to append one event and wait for its outcome.
var ways = map[string]func(context.Context, appending.Appender, events.Event) appending.Outcome{
	"alone": func(ctx context.Context, a appending.Appender, e events.Event) appending.Outcome {
		return a.Append(ctx, e)
	},
	"in a batch": func(ctx context.Context, a appending.Appender, e events.Event) appending.Outcome {
		return a.Send(ctx, []events.Event{e}).Wait(ctx)[0]
	},
}

// inBothWays runs a test for each of the ways.
func inBothWays(t *testing.T, test func(*testing.T, func(context.Context, appending.Appender) appending.Outcome)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			test(t, func(ctx context.Context, a appending.Appender) appending.Outcome {
				return way(ctx, a, events.Event{ID: "a"})
			})
		})
	}
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// allForgotten fails unless the model no longer expects any event.
func allForgotten(t *testing.T, f *fake) {
	t.Helper()
	if n := f.expected.Len(); n != 0 {
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
	inBothWays(t, func(t *testing.T, do func(context.Context, appending.Appender) appending.Outcome) {
		f, judge := &fake{}, make(chan struct{})
		f.append = func() error {
			close(judge)
			return eventlog.ErrOutcomeUnknown
		}
		go func() {
			<-judge
			f.judge("a", admitted)
		}()
		if got := do(t.Context(), appending.Appender{Log: f, Model: f}); got != (appending.Outcome{Judgement: admitted}) {
			t.Errorf("got %+v, want %+v", got, admitted)
		}
		allForgotten(t, f)
	})
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
			inBothWays(t, func(t *testing.T, do func(context.Context, appending.Appender) appending.Outcome) {
				f, count := &fake{}, &counts{}
				f.append = func() error {
					f.stuck = c.stuck // the model gets stuck during the append
					return c.append
				}
				got := do(ended(), appending.Appender{Log: f, Model: f, Observer: count}).Err
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
				if count.appends != 1 || count.unjudged != 1 || count.judged != 0 {
					t.Errorf("got %+v, want one append and one unjudged event", *count)
				}
				allForgotten(t, f)
			})
		})
	}
}

// A verdict that has arrived counts even if the context has ended.
func TestAVerdictAtTheLastMoment(t *testing.T) {
	inBothWays(t, func(t *testing.T, do func(context.Context, appending.Appender) appending.Outcome) {
		for range 100 {
			f := &fake{}
			f.append = func() error {
				f.judge("a", admitted)
				return nil
			}
			if got := do(ended(), appending.Appender{Log: f, Model: f}); got.Err != nil {
				t.Fatalf("got %v, want %+v", got.Err, admitted)
			}
		}
	})
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
		alone := appending.Appender{Log: f, Model: f, Observer: count}.Append(t.Context(), events.Event{ID: "a"})
		if alone.Err != got[0].Err {
			t.Errorf("got %v from an event alone, want %v", alone.Err, got[0].Err)
		}
		if want := (counts{appends: 2, failures: 2}); *count != want {
			t.Errorf("got %+v, want %+v", *count, want)
		}
		allForgotten(t, f)
	}
}

// Nothing is appended if the model cannot give a verdict.
func TestNothingIsAppendedWhileTheModelIsStuck(t *testing.T) {
	inBothWays(t, func(t *testing.T, do func(context.Context, appending.Appender) appending.Outcome) {
		stuck := errors.New("the disk is full")
		f, count := &fake{stuck: stuck}, &counts{}
		got := do(t.Context(), appending.Appender{Log: f, Model: f, Observer: count})
		if !errors.Is(got.Err, stuck) || errors.Is(got.Err, eventlog.ErrOutcomeUnknown) {
			t.Errorf("got %v, want %v", got.Err, stuck)
		}
		if len(f.appended) != 0 || *count != (counts{}) {
			t.Errorf("got %v appended and %+v, want nothing", f.appended, *count)
		}
	})
}
