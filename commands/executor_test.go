package commands_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// A service is a command service: an executor and its own write model, on a log that others
// share.
type service struct {
	*commands.Executor
	model *servicetest.Model
}

func newService(t testing.TB, b *servicetest.Broker, wait time.Duration) service {
	t.Helper()
	log := b.OpenLog()
	model := servicetest.OpenModel(t, log, servicetest.Collections(t)).Follow()
	return service{&commands.Executor{Log: log, Model: model.Projection, Source: "/test", Wait: wait}, model}
}

func create(t testing.TB, email string) commands.Command {
	t.Helper()
	return commands.Command{Action: commands.Create, Collection: users(t), ID: uuid.Must(uuid.NewV7()).String(), Document: doc(t, fmt.Sprintf(`{"name":"Ada","email":%q}`, email))}
}

func change(t testing.TB, action commands.Action, id, name string) commands.Command {
	t.Helper()
	return commands.Command{Action: action, Collection: users(t), ID: id, Patch: []byte(fmt.Sprintf(`{"name":%q}`, name)), Document: doc(t, fmt.Sprintf(`{"name":%q,"email":"r@example.com"}`, name))}
}

func rejectedAs(err error, kind commands.RejectionKind) bool {
	var r *commands.Rejection
	return errors.As(err, &r) && r.Kind == kind
}

func must(t testing.TB, s service, c commands.Command) commands.Result {
	t.Helper()
	r, err := s.Execute(servicetest.Context(t), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheLifeOfAnEntity(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := create(t, "ada@example.com")
	r := must(t, s, c)
	if r.Entity.Version != 1 || r.Entity.ID != c.ID || s.model.Position() < r.Position {
		t.Errorf("got %+v with the model at %d, want version 1 at the model's position or before it", r, s.model.Position())
	}
	if r := must(t, s, change(t, commands.Patch, c.ID, "B")); r.Entity.Version != 2 || r.Entity.CreatedAt == "" {
		t.Errorf("got %+v, want version 2 with its time of creation", r)
	}
	if r := must(t, s, change(t, commands.Replace, c.ID, "C")); r.Entity.Version != 3 {
		t.Errorf("got %+v, want version 3", r)
	}
	if _, err := s.Execute(servicetest.Context(t), create(t, "R@example.com")); !rejectedAs(err, commands.Taken) {
		t.Errorf("got %v, want Taken", err)
	}
	if r := must(t, s, change(t, commands.Delete, c.ID, "")); r.Entity.Version != 4 || !r.Entity.Deleted {
		t.Errorf("got %+v, want version 4, deleted", r)
	}
	must(t, s, create(t, "r@example.com"))
}

// A write model that is behind would reject a valid command, so it catches up first.
func TestRejectsOnlyOnFreshState(t *testing.T) {
	b := servicetest.StartBroker(t)
	ahead, behind := newService(t, b, 10*time.Second), newService(t, b, 10*time.Second)
	for i := range 50 {
		c := create(t, fmt.Sprintf("u%d@example.com", i))
		must(t, ahead, c)
		must(t, behind, change(t, commands.Patch, c.ID, "B"))
		must(t, ahead, change(t, commands.Delete, c.ID, ""))
		must(t, behind, create(t, fmt.Sprintf("u%d@example.com", i)))
	}
}

func TestARejectionThatCannotBeConfirmed(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	ahead := newService(t, b, 10*time.Second)
	c := create(t, "ada@example.com")
	must(t, ahead, c)
	// The model of this executor never catches up.
	stuck := servicetest.OpenModel(t, log, servicetest.Collections(t))
	// A command that times out before the first connection is known to have failed, so connect
	// first.
	if _, err := log.AppendCheckpoint(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	x := &commands.Executor{Log: log, Model: stuck.Projection, Source: "/test", Wait: 200 * time.Millisecond}
	if _, err := x.Execute(servicetest.Context(t), change(t, commands.Patch, c.ID, "B")); !errors.Is(err, commands.ErrBehind) {
		t.Errorf("got %v, want ErrBehind", err)
	}
	stale := change(t, commands.Patch, c.ID, "B")
	stale.Consistency = events.Eventual
	if _, err := x.Execute(servicetest.Context(t), stale); !rejectedAs(err, commands.NotFound) {
		t.Errorf("a client that accepts a stale rejection: got %v, want NotFound", err)
	}
	// For a client that wants proof, the executor appends a barrier. The barrier does not prove
	// that the model has reached it.
	sure := change(t, commands.Patch, c.ID, "B")
	sure.Consistency = events.Linearizable
	if _, err := x.Execute(servicetest.Context(t), sure); !errors.Is(err, commands.ErrBehind) {
		t.Errorf("got %v, want ErrBehind", err)
	}
	// The executor never reads back what it appends. The outcome is unknown, not failed.
	if _, err := x.Execute(servicetest.Context(t), create(t, "b@example.com")); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrOutcomeUnknown", err)
	}
}

// The executor appends a barrier before it rejects a command of a client that wants proof, and
// in no other case.
func TestRejectionsThatAreProved(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := create(t, "ada@example.com")
	c.Consistency = events.Linearizable
	if r := must(t, s, c); r.Position != 1 {
		t.Errorf("an admitted write: got position %d, want 1", r.Position)
	}
	for i, consistency := range []events.Consistency{events.Linearizable, events.Strong, events.Unspecified, events.Eventual} {
		rejected := change(t, commands.Patch, id, "B")
		rejected.Consistency = consistency
		if _, err := s.Execute(servicetest.Context(t), rejected); !rejectedAs(err, commands.NotFound) {
			t.Errorf("%q: got %v, want NotFound", consistency, err)
		}
		taken := create(t, "ada@example.com")
		taken.Consistency = consistency
		if o := s.ExecuteBatch(servicetest.Context(t), []commands.Command{taken}); !rejectedAs(o[0].Err, commands.Taken) {
			t.Errorf("%q: batch: got %v, want Taken", consistency, o[0].Err)
		}
		if end, err := s.Log.End(servicetest.Context(t)); err != nil || end != 3 {
			t.Errorf("%q (%d): got the end of the log at %d, %v, want 3", consistency, i, end, err)
		}
	}
}

// The last writer wins. A service that loses a race decides again, and its client does not
// notice.
func TestRacesBetweenServices(t *testing.T) {
	b := servicetest.StartBroker(t)
	services := []service{newService(t, b, 30*time.Second), newService(t, b, 30*time.Second)}
	c := create(t, "ada@example.com")
	must(t, services[0], c)
	const each, clients = 10, 8
	versions := make(chan int64, each*clients)
	var wait sync.WaitGroup
	for i := range clients {
		wait.Go(func() {
			for n := range each {
				r, err := services[i%2].Execute(context.Background(), change(t, commands.Patch, c.ID, fmt.Sprintf("B%d.%d", i, n)))
				if err != nil {
					t.Error(err)
					return
				}
				versions <- r.Entity.Version
			}
		})
	}
	wait.Wait()
	close(versions)
	seen := map[int64]bool{}
	for v := range versions {
		seen[v] = true
	}
	for v := int64(2); v <= each*clients+1; v++ {
		if !seen[v] {
			t.Errorf("got no version %d, want every version", v)
		}
	}
}

func TestOneHolderOfAUniqueValue(t *testing.T) {
	b := servicetest.StartBroker(t)
	services := []service{newService(t, b, 30*time.Second), newService(t, b, 30*time.Second)}
	var wait sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for i := range 16 {
		wait.Go(func() {
			_, err := services[i%2].Execute(context.Background(), create(t, "ada@example.com"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				created++
			case !rejectedAs(err, commands.Taken):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if created != 1 {
		t.Errorf("got %d entities created, want 1", created)
	}
}

func TestBrokerAway(t *testing.T) {
	b := servicetest.StartBroker(t)
	s := newService(t, b, 3*time.Second)
	c := create(t, "ada@example.com")
	must(t, s, c)
	b.Close()
	_, err := s.Execute(servicetest.Context(t), change(t, commands.Patch, c.ID, "B"))
	if !errors.Is(err, eventlog.ErrUnreachable) && !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrUnreachable or ErrOutcomeUnknown", err)
	}
	// Without the broker, a rejection can't be confirmed.
	if _, err := s.Execute(servicetest.Context(t), change(t, commands.Patch, id, "B")); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	b.Restart()
	for ctx := servicetest.Context(t); ; {
		if _, err = s.Execute(ctx, change(t, commands.Patch, c.ID, "C")); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("got %v, want that the service recovers", err)
		}
	}
}

func TestWaitIsBounded(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := create(t, "ada@example.com")
	must(t, s, c)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Execute(ctx, change(t, commands.Patch, c.ID, "B")); err == nil {
		t.Error("got no error for a cancelled request, want one")
	}
	if p := s.model.Position(); p < events.Position(1) {
		t.Errorf("got position %d, want 1 or more", p)
	}
}
