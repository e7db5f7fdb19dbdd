package commands_test

import (
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A retry is decided while its first attempt is still on its way. If that arrives between
// the look for its key and the decision, the retry meets what it left, and must not be
// told that another has the address.
func TestARetryIsNotRefusedForItsFirstAttempt(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		retryDuringFirst(t, func(s service, c commands.Command) (commands.Result, error) {
			return s.Execute(servicetest.Context(t), c)
		})
	})
	t.Run("in a batch", func(t *testing.T) {
		retryDuringFirst(t, func(s service, c commands.Command) (commands.Result, error) {
			o := s.ExecuteBatch(servicetest.Context(t), []commands.Command{c})[0]
			return o.Result, o.Err
		})
	})
}

func retryDuringFirst(t *testing.T, execute func(service, commands.Command) (commands.Result, error)) {
	t.Helper()
	b := servicetest.StartBroker(t)
	retried, first := newService(t, b, time.Minute), newService(t, b, time.Minute)
	holder := must(t, first, create(t, "a@example.com"))
	if err := retried.model.WaitFor(servicetest.Context(t), holder.Position); err != nil {
		t.Fatal(err) // else the log would refuse the retry, not the first decision
	}
	command := create(t, "a@example.com")
	command.IdempotencyKey, command.RequestHash = "k", "h"
	attempt := create(t, "a@example.com")
	attempt.IdempotencyKey, attempt.RequestHash = "k", "h"
	var done commands.Result
	decisions := 0
	retried.Now = func() time.Time {
		// The first decision is rejected, for the holder that there is. Before the second, on
		// fresh state, the address gets free and the first attempt takes it.
		if decisions++; decisions == 2 {
			must(t, first, change(t, commands.Delete, holder.Entity.ID, ""))
			done = must(t, first, attempt)
			if err := retried.model.WaitFor(servicetest.Context(t), done.Position); err != nil {
				t.Error(err)
			}
		}
		return time.Now()
	}
	r, err := execute(retried, command)
	if err != nil || !r.Replayed || r.Position != done.Position || r.Entity.ID != done.Entity.ID {
		t.Errorf("got %+v, %v, want the outcome of the first attempt, %+v", r, err, done)
	}
}
