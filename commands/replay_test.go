package commands_test

import (
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A retry is decided while its first attempt is still in progress. If the first attempt arrives
// between the lookup of the key and the decision, the retry finds the first attempt's entity. It
// must not be rejected because the address is taken.
func TestARetryIsNotRejectedForItsFirstAttempt(t *testing.T) {
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
		t.Fatal(err) // otherwise the log, not the first decision, would reject the retry
	}
	command := create(t, "a@example.com")
	command.IdempotencyKey, command.RequestHash = "k", "h"
	attempt := create(t, "a@example.com")
	attempt.IdempotencyKey, attempt.RequestHash = "k", "h"
	var done commands.Result
	decisions := 0
	retried.Now = func() time.Time {
		// The first decision is rejected because of the present holder. Before the second decision,
		// on fresh state, the address becomes free and the first attempt takes it.
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
