package commands_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/events/wire"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// keyed returns a command that creates an entity with an idempotency key. Like the attempts of a
// client, the commands of two calls have different ids.
func keyed(t testing.TB, key, request string) commands.Command {
	t.Helper()
	c := create(t, request+"@example.com")
	c.IdempotencyKey, c.RequestHash = key, request
	return c
}

// repeats fails the test unless a result repeats the first one.
func repeats(t testing.TB, got commands.Result, err error, first commands.Result) {
	t.Helper()
	if err != nil || !got.Replayed || got.Position != first.Position || got.Entity.ID != first.Entity.ID || string(got.Entity.Rendered) != string(first.Entity.Rendered) {
		t.Errorf("got %+v, %v, want a replay of %+v", got, err, first)
	}
}

// A retry finds the first outcome at any service, even if its read model has not applied it yet.
func TestIdempotency(t *testing.T) {
	b := servicetest.StartBroker(t)
	one, two := newService(t, b, 10*time.Second), newService(t, b, 10*time.Second)
	for i := range 20 {
		key := fmt.Sprint("key-", i)
		first := must(t, one, keyed(t, key, key))
		again, err := two.Execute(servicetest.Context(t), keyed(t, key, key))
		repeats(t, again, err, first)
		if _, err := two.Execute(servicetest.Context(t), keyed(t, key, "other")); !rejectedAs(err, commands.KeyReused) {
			t.Errorf("got %v, want KeyReused", err)
		}
	}
}

// Two services get two requests with one key at the same time. One succeeds, the other is
// rejected, and every later attempt of either request gets the same answer again.
func TestAKeyWithTwoRequestsAtOnce(t *testing.T) {
	b := servicetest.StartBroker(t)
	services := []service{newService(t, b, 30*time.Second), newService(t, b, 30*time.Second)}
	for i := range 20 {
		key := fmt.Sprint("key-", i)
		results, errs := make([]commands.Result, 2), make([]error, 2)
		var both sync.WaitGroup
		for n, s := range services {
			both.Go(func() {
				results[n], errs[n] = s.Execute(context.Background(), keyed(t, key, fmt.Sprint(key, "-", n)))
			})
		}
		both.Wait()
		won := 0
		if errs[0] != nil {
			won = 1
		}
		if errs[won] != nil || !rejectedAs(errs[1-won], commands.KeyReused) {
			t.Fatalf("got %v and %v, want one success and one key that was used", errs[0], errs[1])
		}
		for _, s := range services {
			again, err := s.Execute(servicetest.Context(t), keyed(t, key, fmt.Sprint(key, "-", won)))
			repeats(t, again, err, results[won])
			if _, err := s.Execute(servicetest.Context(t), keyed(t, key, fmt.Sprint(key, "-", 1-won))); !rejectedAs(err, commands.KeyReused) {
				t.Errorf("got %v, want KeyReused", err)
			}
		}
	}
}

// After the first attempt is done, every retry gets its outcome, however many arrive at once.
func TestManyRetriesAtOnce(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := keyed(t, "key", "request")
	first := must(t, s, c)
	var retries sync.WaitGroup
	for range 32 {
		retries.Go(func() {
			for range 50 {
				again, err := s.Execute(context.Background(), c)
				repeats(t, again, err, first)
			}
		})
	}
	retries.Wait()
}

// A retry gets the answer to the first attempt, not the present state of the entity. Its
// preconditions are not checked again.
func TestTheFirstOutcomeIsStored(t *testing.T) {
	b := servicetest.StartBroker(t)
	one, two := newService(t, b, 10*time.Second), newService(t, b, 10*time.Second)
	c := keyed(t, "create", "ada")
	created := must(t, one, c)
	patch := change(t, commands.Patch, c.ID, "B")
	patch.IdempotencyKey, patch.RequestHash = "patch", "patch"
	patch.Match = commands.Precondition{Set: true, Versions: []int64{1}}
	patched := must(t, two, patch)
	remove := change(t, commands.Delete, c.ID, "")
	remove.IdempotencyKey, remove.RequestHash = "delete", "delete"
	removed := must(t, one, remove)
	must(t, two, create(t, "ada@example.com")) // the address becomes free and is taken again
	for _, s := range []service{one, two} {
		for command, first := range map[*commands.Command]commands.Result{&c: created, &patch: patched, &remove: removed} {
			again, err := s.Execute(servicetest.Context(t), *command)
			repeats(t, again, err, first)
			if again.Entity.Deleted != first.Entity.Deleted {
				t.Errorf("got %+v, want it deleted or not as in %+v", again, first)
			}
		}
	}
}

// After an unknown outcome, a retry through the same service or another one settles it. Whether
// or not the first attempt arrived, exactly one of the two is done.
func TestARetryAfterAnUnknownOutcome(t *testing.T) {
	b := servicetest.StartBroker(t)
	log := b.OpenLog()
	deaf := servicetest.OpenModel(t, log, servicetest.Collections(t)) // it never reads its events back
	first := &commands.Executor{Log: log, Model: deaf.Projection, Source: "/test", Wait: 100 * time.Millisecond}
	// A command that times out before the first connection is known to have failed, so connect
	// first.
	if _, err := log.AppendCheckpoint(servicetest.Context(t)); err != nil {
		t.Fatal(err)
	}
	other := newService(t, b, 10*time.Second)
	for i := range 5 {
		c := keyed(t, fmt.Sprint("key-", i), fmt.Sprint("request-", i))
		for range 2 { // twice: an attempt that was given up does not hold the key
			if _, err := first.Execute(servicetest.Context(t), c); !errors.Is(err, eventlog.ErrOutcomeUnknown) {
				t.Fatalf("got %v, want ErrOutcomeUnknown", err)
			}
		}
		done := must(t, other, c)
		again, err := other.Execute(servicetest.Context(t), c)
		repeats(t, again, err, done)
	}
	deaf.Follow()
	first.Wait = 10 * time.Second
	for i := range 5 {
		c := keyed(t, fmt.Sprint("key-", i), fmt.Sprint("request-", i))
		if r, err := first.Execute(servicetest.Context(t), c); err != nil || !r.Replayed {
			t.Errorf("got %+v, %v, want a replay", r, err)
		}
	}
	counts, err := deaf.VoidCounts(servicetest.Context(t))
	if status, serr := deaf.Status(servicetest.Context(t)); err != nil || serr != nil || status.Entities["users"] != 5 || counts[events.ReasonDuplicate] == 0 || len(counts) != 1 {
		t.Errorf("got %d entities, voids %v, %v, %v, want 5 entities, and only duplicates void", status.Entities["users"], counts, err, serr)
	}
}

// A rejection is not stored as an outcome: see docs/decisions.
func TestARejectionIsDecidedAgain(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	holder := create(t, "ada@example.com")
	must(t, s, holder)
	c := keyed(t, "key", "ada")
	for range 2 {
		if _, err := s.Execute(servicetest.Context(t), c); !rejectedAs(err, commands.Taken) {
			t.Fatalf("got %v, want Taken", err)
		}
	}
	must(t, s, change(t, commands.Delete, holder.ID, ""))
	done := must(t, s, c)
	again, err := s.Execute(servicetest.Context(t), c)
	repeats(t, again, err, done)
}

// The log's time advances only with its records. After a day without records, a key has expired,
// but only a new record shows it.
func TestAKeyIsFreeAfterADay(t *testing.T) {
	for name, execute := range map[string]func(service, commands.Command) (commands.Result, error){
		"alone": func(s service, c commands.Command) (commands.Result, error) {
			return s.Execute(servicetest.Context(t), c)
		},
		"in a batch": func(s service, c commands.Command) (commands.Result, error) {
			o := s.ExecuteBatch(servicetest.Context(t), []commands.Command{c})
			return o[0].Result, o[0].Err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := servicetest.StartBroker(t)
			makeTopic(t, b)
			c := keyed(t, "key", "request")
			appendAt(t, b, time.Now().Add(-25*time.Hour), c)
			s := newService(t, b, 10*time.Second)
			other := keyed(t, "key", "another")
			r, err := execute(s, other)
			if err != nil || r.Replayed || r.Entity.ID != other.ID {
				t.Errorf("a key that is a day old: got %+v, %v, want the new entity", r, err)
			}
			if again, err := execute(s, other); err != nil || !again.Replayed {
				t.Errorf("a retry: got %+v, %v, want a replay", again, err)
			}
		})
	}
}

// A service whose clock is wrong checks the time of the log and trusts it.
func TestAWrongClockDoesNotFreeAKey(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := keyed(t, "key", "request")
	first := must(t, s, c)
	s.Now = func() time.Time { return time.Now().Add(1000 * time.Hour) }
	again, err := s.Execute(servicetest.Context(t), c)
	repeats(t, again, err, first)
	if _, err := s.Execute(servicetest.Context(t), keyed(t, "key", "another")); !rejectedAs(err, commands.KeyReused) {
		t.Errorf("got %v, want KeyReused", err)
	}
}

// makeTopic creates the topic with the producers' timestamps, so that a test can write in the
// past.
func makeTopic(t testing.TB, b *servicetest.Broker) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "clusterlite.events", 1, 1
	for name, value := range map[string]string{"message.timestamp.type": "CreateTime", "retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": fmt.Sprint(eventlog.MaxRecordBytes)} {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	request := kmsg.NewCreateTopicsRequest()
	request.Topics = []kmsg.CreateTopicsRequestTopic{topic}
	response, err := request.RequestWith(servicetest.Context(t), client)
	if err != nil || response.Topics[0].ErrorCode != 0 {
		t.Fatalf("create a topic: got %v, %+v, want no error", err, response)
	}
}

// appendAt appends the event of a command on an entity that does not exist, with a timestamp.
func appendAt(t testing.TB, b *servicetest.Broker, at time.Time, c commands.Command) {
	t.Helper()
	event, rejection := commands.Decide(c, commands.State{}, commands.Stamp{EventID: uuid.Must(uuid.NewV7()).String(), Now: at, Source: "/test"})
	if rejection != nil {
		t.Fatal(rejection)
	}
	record := wire.Record("clusterlite.events", wire.NewMessage(event))
	record.Timestamp = at
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(servicetest.Context(t), record).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
