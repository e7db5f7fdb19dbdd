package commands_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections/appending"
)

func newUUID() string { return uuid.Must(uuid.NewV7()).String() }

// short is a time limit for waits that can only end with it.
const short = 20 * time.Millisecond

func execute(t *testing.T, x *commands.Executor, c commands.Command) (commands.Result, error) {
	t.Helper()
	return x.Execute(t.Context(), c)
}

// An outcome is unknown, neither failed nor done, if the verdict on an event that was or may
// have been appended does not arrive.
func TestOutcomeUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		appendErr error
		arrives   bool
		confirmed bool
	}{
		"the append is confirmed, and the model does not see it":      {nil, false, true},
		"the append times out, and the event never arrives":           {eventlog.ErrOutcomeUnknown, false, false},
		"the append times out, and the event arrives but is not seen": {eventlog.ErrOutcomeUnknown, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, x := newFake()
			x.Wait, f.deaf, f.appendErr, f.arrives = short, true, c.appendErr, c.arrives
			_, alone := execute(t, x, create(t, "ada@example.com"))
			batch := x.ExecuteBatch(t.Context(), []commands.Command{create(t, "bob@example.com"), create(t, "eve@example.com")})
			for _, got := range []error{alone, batch[0].Err, batch[1].Err} {
				var no *appending.NoVerdictError
				if !errors.Is(got, eventlog.ErrOutcomeUnknown) || !errors.As(got, &no) || no.Confirmed != c.confirmed {
					t.Errorf("got %v, want an unknown outcome with confirmed %v", got, c.confirmed)
				}
			}
			if n := f.expected.Len(); n != 0 {
				t.Errorf("got %d events that are still expected, want none", n)
			}
		})
	}
}

// Whatever takes too long before the append, nothing is written, and the client may retry.
func TestATimeoutBeforeTheAppend(t *testing.T) {
	for method, c := range map[string]commands.Command{
		"KeyUse": create(t, "ada@example.com"), "Entity": change(t, commands.Patch, newUUID(), "Ada"), "Holder": create(t, "ada@example.com"), "End": change(t, commands.Delete, newUUID(), ""),
	} {
		t.Run(method, func(t *testing.T) {
			f, x := newFake()
			x.Wait, f.hangs = short, method
			c.IdempotencyKey = "once"
			_, err := execute(t, x, c)
			if status := commands.StatusOf(err); status != 503 || f.appends != 0 {
				t.Errorf("got %v, which is status %d, and %d appends, want 503 and none", err, status, f.appends)
			}
			if c.Action != commands.Create {
				return
			}
			for _, o := range x.ExecuteBatch(t.Context(), []commands.Command{c}) {
				if status := commands.StatusOf(o.Err); status != 503 || f.appends != 0 {
					t.Errorf("in a batch: got %v, which is status %d, and %d appends, want 503 and none", o.Err, status, f.appends)
				}
			}
		})
	}
}

// If the model stops while an event is in progress, the outcome says why the verdict is missing.
func TestOutcomeUnknownNamesWhatIsWrong(t *testing.T) {
	full := errors.New("the disk is full")
	f, x := newFake()
	x.Wait, f.deaf = short, true
	f.onAppend = func() { f.setStuck(full) }
	_, err := execute(t, x, create(t, "ada@example.com"))
	if !errors.Is(err, eventlog.ErrOutcomeUnknown) || errors.Is(err, full) || !strings.Contains(err.Error(), full.Error()) {
		t.Errorf("got %v, want an unknown outcome that mentions %q", err, full)
	}
}

// An append that the broker did not confirm may have happened. The verdict decides.
func TestAVerdictAfterAFailedAppend(t *testing.T) {
	f, x := newFake()
	f.appendErr, f.arrives = eventlog.ErrOutcomeUnknown, true
	c := create(t, "ada@example.com")
	if r, err := execute(t, x, c); err != nil || r.Position != 1 || r.Entity.ID != c.ID || r.Entity.Version != 1 {
		t.Errorf("got %+v, %v, want version 1 at position 1", r, err)
	}
	o := x.ExecuteBatch(t.Context(), []commands.Command{create(t, "bob@example.com"), create(t, "ada@example.com")})
	if o[0].Err != nil || o[0].Position != 2 || !rejectedAs(o[1].Err, commands.Taken) {
		t.Errorf("got %+v, want one entity, and one taken value", o)
	}
}

func TestNothingIsDoneWithoutTheLog(t *testing.T) {
	for _, want := range []error{eventlog.ErrUnreachable, eventlog.ErrTooLarge, eventlog.ErrClosed} {
		f, x := newFake()
		f.appendErr = want
		if _, err := execute(t, x, create(t, "ada@example.com")); !errors.Is(err, want) || errors.Is(err, eventlog.ErrOutcomeUnknown) {
			t.Errorf("got %v, want %v", err, want)
		}
		if o := x.ExecuteBatch(t.Context(), []commands.Command{create(t, "bob@example.com")}); !errors.Is(o[0].Err, want) {
			t.Errorf("batch: got %v, want %v", o[0].Err, want)
		}
	}
}

func TestNothingIsAppendedByAStuckModel(t *testing.T) {
	full := errors.New("the disk is full")
	f, x := newFake()
	f.setStuck(full)
	if _, err := execute(t, x, create(t, "ada@example.com")); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	if o := x.ExecuteBatch(t.Context(), []commands.Command{create(t, "ada@example.com")}); !errors.Is(o[0].Err, full) {
		t.Errorf("batch: got %v, want %v", o[0].Err, full)
	}
	if f.appends != 0 {
		t.Errorf("got %d appends, want none", f.appends)
	}
}

// An event that is void because another write came first is decided again, on the state that
// made it void. The client does not notice.
func TestAVoidEventIsDecidedAgain(t *testing.T) {
	f, x := newFake()
	c := create(t, "ada@example.com")
	if _, err := execute(t, x, c); err != nil {
		t.Fatal(err)
	}
	lost := 0
	f.onAppend = func() {
		if lost++; lost <= 3 { // another service is faster three times
			f.another(f.written(t, change(t, commands.Patch, c.ID, "other")))
		}
	}
	r, err := execute(t, x, change(t, commands.Patch, c.ID, "mine"))
	if err != nil || r.Entity.Version != 5 || !strings.Contains(string(r.Entity.Rendered), `"name":"mine"`) {
		t.Errorf("got %+v, %v, want version 5 with the name mine", r.Entity, err)
	}
	if f.appends != 5 { // the create, three void patches, and one that is admitted
		t.Errorf("got %d appends, want 5", f.appends)
	}
	if f.ends != 0 {
		t.Errorf("got %d calls of End, want none: the void event shows the state", f.ends)
	}
}

// A client that demands a version gets an error if another write came first.
func TestAVoidEventWithAPrecondition(t *testing.T) {
	f, x := newFake()
	c := create(t, "ada@example.com")
	if _, err := execute(t, x, c); err != nil {
		t.Fatal(err)
	}
	f.onAppend = func() {
		f.onAppend = nil
		f.another(f.written(t, change(t, commands.Patch, c.ID, "other")))
	}
	mine := change(t, commands.Patch, c.ID, "mine")
	mine.Match = commands.Precondition{Set: true, Versions: []int64{1}}
	_, err := execute(t, x, mine)
	var rejection *commands.Rejection
	if !errors.As(err, &rejection) || rejection.Kind != commands.VersionMismatch || rejection.Version != 2 {
		t.Errorf("got %v, want a mismatch with version 2", err)
	}
}

// A command that never wins its race ends when its time limit expires.
func TestContention(t *testing.T) {
	f, x := newFake()
	c := create(t, "ada@example.com")
	if _, err := execute(t, x, c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.onAppend = func() {
		f.another(f.written(t, change(t, commands.Patch, c.ID, "other")))
		if f.appends == 10 {
			cancel()
		}
	}
	if _, err := x.Execute(ctx, change(t, commands.Patch, c.ID, "mine")); !errors.Is(err, commands.ErrContended) {
		t.Errorf("got %v, want %v", err, commands.ErrContended)
	}
}

// A rejection is given only on fresh state. How fresh it is depends on the consistency.
func TestRejectionsNeedFreshState(t *testing.T) {
	for consistency, asked := range map[events.Consistency]struct{ ends, barriers int }{
		events.Unspecified: {1, 0}, events.Strong: {1, 0}, events.Linearizable: {0, 1}, events.Eventual: {0, 0},
	} {
		f, x := newFake()
		ada := create(t, "ada@example.com")
		f.another(f.written(t, ada))
		// The model does not know the entity yet. Only for a client that accepts stale state is the
		// answer that it does not exist.
		c := change(t, commands.Patch, ada.ID, "B")
		c.Consistency = consistency
		_, err := execute(t, x, c)
		if stale := consistency == events.Eventual; stale != rejectedAs(err, commands.NotFound) || !stale && err != nil {
			t.Errorf("%q: got %v, want NotFound with stale state, and no error otherwise", consistency, err)
		}
		if f.ends != asked.ends || f.barriers != asked.barriers {
			t.Errorf("%q: got %d calls of End and %d of Barrier, want %+v", consistency, f.ends, f.barriers, asked)
		}
	}
}

// The same holds for a batch, which asks once for all commands that would be rejected.
func TestRejectionsInABatchNeedFreshState(t *testing.T) {
	f, x := newFake()
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		c := create(t, email)
		if _, err := execute(t, x, c); err != nil {
			t.Fatal(err)
		}
		f.another(f.written(t, change(t, commands.Delete, c.ID, "")))
	}
	o := x.ExecuteBatch(t.Context(), []commands.Command{create(t, "ada@example.com"), create(t, "bob@example.com")})
	if o[0].Err != nil || o[1].Err != nil || f.ends != 1 {
		t.Errorf("got %v, %v and %d calls of End, want two entities and one call", o[0].Err, o[1].Err, f.ends)
	}
}

// Without the end of the log, a rejection is not given.
func TestRejectionsThatCannotBeConfirmed(t *testing.T) {
	for _, c := range []struct {
		name   string
		endErr error
		deaf   bool
		want   error
	}{
		{"the broker does not answer", eventlog.ErrUnreachable, false, eventlog.ErrUnreachable},
		{"the model does not catch up", nil, true, commands.ErrBehind},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, x := newFake()
			f.another(f.written(t, create(t, "ada@example.com")))
			x.Wait, f.endErr, f.deaf = short, c.endErr, c.deaf
			for _, consistency := range []events.Consistency{events.Unspecified, events.Linearizable} {
				missing := change(t, commands.Patch, id, "B")
				missing.Consistency = consistency
				if _, err := execute(t, x, missing); !errors.Is(err, c.want) {
					t.Errorf("%q: got %v, want %v", consistency, err, c.want)
				}
			}
			if f.appends != 0 {
				t.Errorf("got %d appends, want none", f.appends)
			}
		})
	}
}

// The first event with an idempotency key counts, whichever service appended it. The second is
// void, and its client gets the outcome of the first.
func TestADuplicateReturnsTheFirstOutcome(t *testing.T) {
	f, x := newFake()
	first := create(t, "ada@example.com")
	first.IdempotencyKey, first.RequestHash = "k", "h"
	event := f.written(t, first)
	f.onAppend = func() {
		f.onAppend = nil
		f.another(event)
	}
	retry := first
	retry.ID = newUUID()
	r, err := execute(t, x, retry)
	if err != nil || !r.Replayed || r.Entity.ID != first.ID || r.Position != 1 {
		t.Errorf("got %+v, %v, want the outcome of the first at position 1", r, err)
	}
	other := first
	other.RequestHash = "another request"
	if _, err := execute(t, x, other); !rejectedAs(err, commands.KeyReused) {
		t.Errorf("got %v, want that the key was reused", err)
	}
}

// After an unknown outcome, a retry with the same key never writes twice.
func TestARetryNeverWritesTwice(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		f, x := newFake()
		x.Wait, f.deaf, f.appendErr, f.arrives = short, true, eventlog.ErrOutcomeUnknown, arrives
		c := create(t, "ada@example.com")
		c.IdempotencyKey, c.RequestHash = "k", "h"
		if _, err := execute(t, x, c); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
			t.Fatalf("got %v, want %v", err, eventlog.ErrOutcomeUnknown)
		}
		x.Wait, f.deaf, f.appendErr = 5*time.Second, false, nil
		if r, err := execute(t, x, c); err != nil || r.Entity.ID != c.ID || r.Replayed != arrives {
			t.Errorf("arrives %v: got %+v, %v, want one entity", arrives, r, err)
		}
		if n := len(f.model.Entities); n != 1 {
			t.Errorf("arrives %v: got %d entities, want 1", arrives, n)
		}
	}
}
