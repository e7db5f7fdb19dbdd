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

// A service is a command service: a write model of its own on a log that others share.
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

func TestALife(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := create(t, "ada@example.com")
	r := must(t, s, c)
	if r.Entity.Version != 1 || r.Entity.ID != c.ID || s.model.Position() < r.Position {
		t.Errorf("got %+v at %d", r, s.model.Position())
	}
	if r := must(t, s, change(t, commands.Patch, c.ID, "B")); r.Entity.Version != 2 || r.Entity.CreatedAt == "" {
		t.Errorf("got %+v", r)
	}
	if r := must(t, s, change(t, commands.Replace, c.ID, "C")); r.Entity.Version != 3 {
		t.Errorf("got %+v", r)
	}
	if _, err := s.Execute(servicetest.Context(t), create(t, "R@example.com")); !rejectedAs(err, commands.Taken) {
		t.Errorf("got %v", err)
	}
	if r := must(t, s, change(t, commands.Delete, c.ID, "")); r.Entity.Version != 4 || !r.Entity.Deleted {
		t.Errorf("got %+v", r)
	}
	must(t, s, create(t, "r@example.com"))
}

// A write model that is behind would refuse what holds: it catches up first.
func TestRefusesOnlyOnFreshState(t *testing.T) {
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

func TestARefusalThatCantBeMadeSureOf(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	ahead := newService(t, b, 10*time.Second)
	c := create(t, "ada@example.com")
	must(t, ahead, c)
	// This one's model never gets there.
	stuck := servicetest.OpenModel(t, log, servicetest.Collections(t))
	// A command whose time is over before there is a connection is known not to be done.
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
		t.Errorf("a client that takes a stale rejection got %v", err)
	}
	// A barrier is appended for a client that wants proof, and it is no proof that the
	// model is there.
	sure := change(t, commands.Patch, c.ID, "B")
	sure.Consistency = events.Linearizable
	if _, err := x.Execute(servicetest.Context(t), sure); !errors.Is(err, commands.ErrBehind) {
		t.Errorf("got %v, want ErrBehind", err)
	}
	// And what it appends, it never hears of again: that is unknown, not failed.
	if _, err := x.Execute(servicetest.Context(t), create(t, "b@example.com")); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrOutcomeUnknown", err)
	}
}

// A client that wants proof has a barrier appended before it is rejected, and only then.
func TestRefusalsThatAreProved(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := create(t, "ada@example.com")
	c.Consistency = events.Linearizable
	if r := must(t, s, c); r.Position != 1 {
		t.Errorf("a write that holds is at position %d", r.Position)
	}
	for i, consistency := range []events.Consistency{events.Linearizable, events.Strong, events.Unspecified, events.Eventual} {
		rejected := change(t, commands.Patch, id, "B")
		rejected.Consistency = consistency
		if _, err := s.Execute(servicetest.Context(t), rejected); !rejectedAs(err, commands.NotFound) {
			t.Errorf("%q: got %v", consistency, err)
		}
		taken := create(t, "ada@example.com")
		taken.Consistency = consistency
		if o := s.ExecuteBatch(servicetest.Context(t), []commands.Command{taken}); !rejectedAs(o[0].Err, commands.Taken) {
			t.Errorf("%q: a batch got %v", consistency, o[0].Err)
		}
		if end, err := s.Log.End(servicetest.Context(t)); err != nil || end != 3 {
			t.Errorf("%q (%d): the log ends at %d, %v", consistency, i, end, err)
		}
	}
}

// Last writer wins: who loses a race decides again, and nobody sees it.
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
			t.Errorf("version %d is missing", v)
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
		t.Errorf("%d were created", created)
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
		t.Errorf("got %v", err)
	}
	// A rejection can't be made sure of without the broker.
	if _, err := s.Execute(servicetest.Context(t), change(t, commands.Patch, id, "B")); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	b.Restart()
	for ctx := servicetest.Context(t); ; {
		if _, err = s.Execute(ctx, change(t, commands.Patch, c.ID, "C")); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the service has not recovered: %v", err)
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
		t.Error("a request that was given up succeeded")
	}
	if p := s.model.Position(); p < events.Position(1) {
		t.Errorf("position %d", p)
	}
}
