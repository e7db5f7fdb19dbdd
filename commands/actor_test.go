package commands_test

import (
	"context"
	"testing"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// Each event says whose request it comes from, however it is appended. Events of anonymous callers
// say nothing, so the log of an open installation stays as it was.
func TestEventsCarryTheirActor(t *testing.T) {
	f, x := newFake()
	created := create(t, "a@example.com")
	ada := context.WithValue(servicetest.Context(t), caller.Key{}, &caller.Caller{Name: "ada"})
	bob := context.WithValue(servicetest.Context(t), caller.Key{}, &caller.Caller{Name: "bob"})
	for _, step := range []func() error{
		func() error { _, err := x.Execute(ada, created); return err },
		func() error { _, err := x.Execute(bob, change(t, commands.Patch, created.ID, "Bob")); return err },
		func() error {
			_, err := x.Execute(servicetest.Context(t), change(t, commands.Patch, created.ID, "Anonymous"))
			return err
		},
		func() error { _, err := x.Execute(bob, change(t, commands.Delete, created.ID, "")); return err },
		func() error {
			return x.ExecuteBatch(ada, []commands.Command{create(t, "b@example.com")})[0].Err
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"ada", "bob", "", "bob", "ada"}
	if len(f.records) != len(want) {
		t.Fatalf("got %d events, want %d", len(f.records), len(want))
	}
	for i, r := range f.records {
		if r.Event.Actor != want[i] {
			t.Errorf("event %d (%s): got actor %q, want %q", i, r.Event.Kind, r.Event.Actor, want[i])
		}
	}
}
