package commands_test

import (
	"errors"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A write that leaves the entity as it is creates neither a version nor an event. Its
// precondition is checked like that of any other write.
func TestWritesThatChangeNothing(t *testing.T) {
	b := servicetest.StartBroker(t)
	s := newService(t, b, 10*time.Second)
	c := create(t, "ada@example.com")
	created := must(t, s, c)
	end := func() int64 {
		t.Helper()
		at, err := s.Log.End(servicetest.Context(t))
		if err != nil {
			t.Fatal(err)
		}
		return int64(at)
	}
	before := end()
	same := doc(t, `{"name":"Ada","email":"ada@example.com"}`)
	for name, command := range map[string]commands.Command{
		"an empty patch":                     {Action: commands.Patch, Patch: []byte(`{}`)},
		"a patch to the same value":          {Action: commands.Patch, Patch: []byte(`{"name":"Ada"}`)},
		"a removal of nothing":               {Action: commands.Patch, Patch: []byte(`{"nick":null}`)},
		"a replacement by the same document": {Action: commands.Replace, Document: same},
		"with If-Match":                      {Action: commands.Replace, Document: same, Match: commands.Precondition{Set: true, Versions: []int64{1}}},
	} {
		command.Collection, command.ID = c.Collection, c.ID
		r := must(t, s, command)
		if r.Entity.Version != 1 || string(r.Entity.Rendered) != string(created.Entity.Rendered) || r.Position < created.Position {
			t.Errorf("%s: got %+v, want version 1 as it was created", name, r)
		}
		command.Match = commands.Precondition{Set: true, Versions: []int64{7}}
		if _, err := s.Execute(servicetest.Context(t), command); !rejectedAs(err, commands.VersionMismatch) {
			t.Errorf("%s on another version: got %v, want VersionMismatch", name, err)
		}
	}
	if after := end(); after != before {
		t.Errorf("the end of the log was at %d: got %d, want no change", before, after)
	}
	// Members keep their order, so another order is a change.
	if r := must(t, s, commands.Command{Action: commands.Replace, Collection: c.Collection, ID: c.ID, Document: doc(t, `{"email":"ada@example.com","name":"Ada"}`)}); r.Entity.Version != 2 {
		t.Errorf("members in another order: got %+v, want version 2", r.Entity)
	}
}

// With a key, such a write still creates an event, which stores the key. A retry after another
// client's change repeats the outcome and undoes nothing.
func TestAKeyIsStoredEvenIfNothingChanges(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := create(t, "ada@example.com")
	must(t, s, c)
	keyed := commands.Command{Action: commands.Patch, Collection: c.Collection, ID: c.ID, Patch: []byte(`{"name":"Ada"}`), IdempotencyKey: "k", RequestHash: "h"}
	first := must(t, s, keyed)
	if first.Entity.Version != 2 {
		t.Errorf("got %+v, want version 2", first)
	}
	must(t, s, change(t, commands.Patch, c.ID, "B"))
	if again := must(t, s, keyed); !again.Replayed || again.Entity.Version != 2 {
		t.Errorf("a retry: got %+v, want a replay of version 2", again)
	}
	if r := must(t, s, change(t, commands.Patch, c.ID, "B")); r.Entity.Version != 3 || string(r.Entity.Rendered) == string(first.Entity.Rendered) {
		t.Errorf("a patch after the retry: got %+v, want version 3 with another name", r)
	}
}

// The answer that nothing changes is about the present state. A model that is behind catches up
// first, or the service reports that it can't.
func TestNoChangeIsConfirmed(t *testing.T) {
	b := servicetest.StartBroker(t)
	ahead, behind := newService(t, b, 10*time.Second), newService(t, b, 10*time.Second)
	c := create(t, "ada@example.com")
	must(t, ahead, c)
	for range 50 {
		must(t, ahead, change(t, commands.Patch, c.ID, "B"))
		// To a model that has not applied the last patch, this one changes nothing.
		version := must(t, behind, change(t, commands.Patch, c.ID, "Ada")).Entity.Version
		if r := must(t, ahead, change(t, commands.Patch, c.ID, "Ada")); r.Entity.Version != version {
			t.Fatalf("got version %d, want %d", r.Entity.Version, version)
		}
	}
	b.Close()
	if _, err := behind.Execute(servicetest.Context(t), change(t, commands.Patch, c.ID, "Ada")); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("without a broker: got %v, want ErrUnreachable", err)
	}
}
