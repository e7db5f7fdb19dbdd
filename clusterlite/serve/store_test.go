package serve_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// patience is longer than any operation that does not hang.
const patience = time.Minute

// fataler is the common part of *testing.T and *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// A store is a set of nodes in this process on one broker. Each node has both APIs and its own
// projection.
type store struct {
	broker *embedded.Broker
	topic  string
	set    *collections.Set
	nodes  []*member
}

// openStore creates a topic and some nodes that use it.
func openStore(t fataler, b *embedded.Broker, set *collections.Set, dir, topic string, nodes int) *store {
	t.Helper()
	s := &store{broker: b, topic: topic, set: set}
	for i := range nodes {
		n := &member{store: s, name: fmt.Sprintf("node-%d", i+1)}
		if n.dir = filepath.Join(dir, n.name); os.MkdirAll(n.dir, 0o750) != nil {
			t.Fatalf("create the folder %s", n.dir)
		}
		n.start(t, 0)
		s.nodes = append(s.nodes, n)
	}
	return s
}

func (s *store) close(t fataler) {
	for _, n := range s.nodes {
		n.stop(t)
	}
}

// produce appends a foreign record to the log.
func (s *store) produce(t fataler, r *kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr()), kgo.DefaultProduceTopic(s.topic))
	if err != nil {
		t.Fatalf("got %v", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		t.Fatalf("got %v", err)
	}
}

// A member is a node of the store.
type member struct {
	store     *store
	name, dir string
	// clock is the error of the node's clock.
	clock time.Duration

	log   *eventlog.Log
	model *projections.Projection
	quit  context.CancelFunc
	ran   chan error
	http.Handler
}

// GoString returns the name of the node in the output of rapid.
func (n *member) GoString() string { return n.name }

// start opens the node on its folder. It does not wait until the node has caught up;
// callers that need that wait themselves.
func (n *member) start(t fataler, batch int) {
	t.Helper()
	var err error
	n.log, err = eventlog.Open(eventlog.Config{Brokers: []string{n.store.broker.Addr()}, Topic: n.store.topic, ClientID: n.name, Source: "/" + n.name, AskTimeout: 10 * time.Second})
	if err != nil {
		t.Fatalf("got %v", err)
	}
	ctx, quit := context.WithCancel(context.Background())
	n.model, err = projections.Open(ctx, projections.Options{Dir: n.dir, Log: n.log, Collections: n.store.set, MaxBatch: batch, Journal: true})
	if err != nil {
		t.Fatalf("open %s: %v", n.dir, err)
	}
	n.quit, n.ran = quit, make(chan error, 1)
	go func() { n.ran <- n.model.Run(ctx) }()
	reads := &queryapi.API{Log: n.log, Model: n.model, Collections: n.store.set, Default: events.Strong, Wait: patience, MaxLag: patience}
	writes := &commands.API{
		Executor: &commands.Executor{
			Log: n.log, Model: n.model, History: n.model, Source: "/" + n.name, Wait: patience,
			Now: func() time.Time { return time.Now().Add(n.clock) },
		},
		Collections: n.store.set, MaxBody: 1 << 20, SpoolDir: n.dir,
	}
	e := servicetest.Echo(web.Options{})
	contract.Mount(e, reads.Routes(), writes.Routes())
	n.Handler = e
	// A node that has never caught up rejects requests instead of waiting.
	for end := time.Now().Add(patience); n.model.Ready(patience) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: got %v, want it ready", n.name, n.model.Ready(patience))
		}
	}
}

// stop closes the node.
func (n *member) stop(t fataler) {
	t.Helper()
	n.quit()
	if err := <-n.ran; err != nil {
		t.Fatalf("%s: got %v", n.name, err)
	}
	if err := n.model.Close(); err != nil {
		t.Fatalf("close %s: %v", n.name, err)
	}
	if err := n.log.Close(); err != nil {
		t.Fatalf("close the log of %s: %v", n.name, err)
	}
}

// forget removes the read model of a stopped node, so that the node rebuilds it.
func (n *member) forget(t fataler) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.dir, "projection*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got no read model in %s: %v", n.dir, err)
	}
	for _, f := range files {
		if err := os.RemoveAll(f); err != nil {
			t.Fatalf("got %v", err)
		}
	}
}

func startBroker(t testing.TB) *embedded.Broker {
	t.Helper()
	b, err := embedded.Start(t.TempDir(), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
