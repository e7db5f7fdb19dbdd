package clitest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/roster"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// AppendUsers appends n users.
func AppendUsers(t testing.TB, log *eventlog.Log, n int) (end events.Position) {
	t.Helper()
	batch := make([]events.Event, n)
	for i := range batch {
		batch[i] = events.Event{
			ID: uuid.NewString(), Source: "/test", Collection: "users", EntityID: uuid.NewString(), Kind: events.Created, Version: 1,
			Time: time.Now(), Document: fmt.Appendf(nil, `{"name":"N%d"}`, i),
		}
	}
	end, err := log.Append(servicetest.Context(t), batch...)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// StartNodes starts nodes. It returns once the broker knows them and they have applied n new
// users.
func StartNodes(t *testing.T, b *servicetest.Broker, users int, names ...string) (running []*node.Node, stops []func() error) {
	t.Helper()
	for _, name := range names {
		n, stop := servicetest.StartNode(t, b, name)
		running, stops = append(running, n), append(stops, stop)
	}
	log := running[0].Log
	for ctx := servicetest.Context(t); ; time.Sleep(time.Millisecond) { // polling
		if all, err := roster.List(ctx, log); err != nil {
			t.Fatal(err)
		} else if len(all) == len(names) {
			break
		}
	}
	if users == 0 {
		return running, stops
	}
	end := AppendUsers(t, log, users)
	for _, n := range running {
		if err := n.Model.WaitFor(servicetest.Context(t), end); err != nil {
			t.Fatal(err)
		}
	}
	return running, stops
}
