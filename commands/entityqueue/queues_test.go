package entityqueue_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/clusterlite/clusterlite/commands/entityqueue"
)

func TestCommandsOfAnEntityRunOneAfterAnother(t *testing.T) {
	var q entityqueue.Queues
	var all sync.WaitGroup
	running, total := 0, 0 // guarded by the queue alone, which the race detector checks
	for range 50 {
		all.Go(func() {
			leave, err := q.Enter(t.Context(), "users/1")
			if err != nil {
				t.Error(err)
				return
			}
			defer leave()
			if running++; running != 1 {
				t.Errorf("got %d commands at a time, want 1", running)
			}
			total++
			running--
		})
	}
	all.Wait()
	if total != 50 {
		t.Errorf("got %d commands, want 50", total)
	}
}

func TestAnotherEntityDoesNotWait(t *testing.T) {
	var q entityqueue.Queues
	leave, err := q.Enter(t.Context(), "users/1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := q.Enter(t.Context(), "users/2")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Enter(ended, "users/1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v while another command runs", err, context.Canceled)
	}
	leave()
	again, err := q.Enter(t.Context(), "users/1")
	if err != nil {
		t.Errorf("got %v after the command has ended, want a turn", err)
	} else {
		again()
	}
}
