package modelset_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// BenchmarkBuild compares a rebuild of the main read model from the log with builds of the shipped
// models from the journal, over the same events: half of them of users, and half of orders. One
// operation is one event, so run it with -benchtime 200000x.
func BenchmarkBuild(b *testing.B) {
	nodes := map[int]*mainNode{} // by the number of events, because each benchmark begins with one event
	root := b.TempDir()
	node := func(b *testing.B) *mainNode {
		b.Helper()
		if nodes[b.N] == nil {
			nodes[b.N] = newMainNode(b, fmt.Sprintf("%s/%d", root, b.N), b.N)
		}
		return nodes[b.N]
	}
	defer func() {
		for _, n := range nodes {
			n.close(b)
		}
	}()
	b.Run("main", func(b *testing.B) {
		n := node(b)
		measured(b, func() {
			if err := n.StartRebuild(projections.RebuildOptions{}); err != nil {
				b.Fatal(err)
			}
			for {
				s, _ := n.Rebuild()
				if s.State == projections.RebuildDone {
					return
				}
				if s.State != projections.RebuildRunning {
					b.Fatalf("the rebuild ended as %s: %s", s.State, s.Error)
				}
				time.Sleep(time.Millisecond)
			}
		})
	})
	for _, name := range []string{"customers", "search", "stats"} {
		b.Run(name, func(b *testing.B) {
			d, err := sqlmodel.LoadFile(b.Context(), "../../models/"+name+".sql", declared)
			if errors.Is(err, sqlmodel.ErrNoFullText) {
				b.Skip(err)
			}
			if err != nil {
				b.Fatal(err)
			}
			n := node(b)
			measured(b, func() {
				s, err := modelset.Open(b.Context(), modelset.Options{Builtin: []*sqlmodel.Definition{d}, Dir: b.TempDir(), Collections: declared, Source: modelset.FromJournal(n.Projection)})
				if err != nil {
					b.Fatal(err)
				}
				m, _ := s.Get(name)
				for m.Status().Serving == nil {
					time.Sleep(time.Millisecond)
				}
				b.StopTimer()
				if got := m.Position(); got != n.end {
					b.Fatalf("got position %d, want %d", got, n.end)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// measured reports the processor time of an operation too, which depends less on what else the
// machine does.
func measured(b *testing.B, f func()) {
	b.Helper()
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	f()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// declared are the collections of the examples.
var declared = []string{"orders", "products", "users"}

// A mainNode is a projection with a journal, which has applied some events.
type mainNode struct {
	*projections.Projection
	end    events.Position
	broker *embedded.Broker
	log    *eventlog.Log
	stop   context.CancelFunc
	ran    chan error
}

func (n *mainNode) close(b *testing.B) {
	b.Helper()
	n.stop()
	err := errors.Join(<-n.ran, n.Close(), n.log.Close())
	n.broker.Close()
	if err != nil {
		b.Error(err)
	}
}

func newMainNode(b *testing.B, dir string, count int) *mainNode {
	b.Helper()
	set, err := collections.Load("../../examples")
	if err != nil {
		b.Fatal(err)
	}
	n := &mainNode{ran: make(chan error, 1)}
	if err := os.MkdirAll(dir+"/node", 0o700); err != nil {
		b.Fatal(err)
	}
	if n.broker, err = embedded.Start(dir+"/log", "127.0.0.1:0", slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	if n.log, err = eventlog.Open(eventlog.Config{Brokers: []string{n.broker.Addr()}, Topic: "clusterlite.events", ClientID: "test"}); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	if _, err := n.log.Prepare(ctx); err != nil {
		b.Fatal(err)
	}
	for at := 0; at < count; at += 1000 {
		if n.end, err = n.log.Append(ctx, mixed(set, at, min(at+1000, count))...); err != nil {
			b.Fatal(err)
		}
	}
	if n.Projection, err = projections.Open(ctx, projections.Options{Dir: dir + "/node", Log: n.log, Collections: set, Journal: true}); err != nil {
		b.Fatal(err)
	}
	go func() { n.ran <- n.Run(ctx) }()
	if err := n.WaitFor(ctx, n.end); err != nil {
		b.Fatal(err)
	}
	return n
}

// mixed returns events of users and orders in turn. Of ten events of a collection, six create, three
// replace and one deletes.
func mixed(set *collections.Set, from, to int) (all []events.Event) {
	for i := from; i < to; i++ {
		name := []string{"users", "orders"}[i%2]
		n := i / 2 // of the collection
		entity, e := n, events.Event{
			ID: id(i, 1).String(), Source: "/clusterlite/command/1", Collection: name, Kind: events.Created, Version: 1,
			Time: time.UnixMilli(1_764_000_000_000 + int64(i)*60_000).UTC(),
		}
		switch last := n % 10; last {
		case 6, 7, 8:
			entity, e.Kind, e.Version = n-last+last-6, events.Updated, 2
		case 9:
			entity, e.Kind, e.Version = n-last, events.Deleted, 3
		}
		e.EntityID = id(2*entity+i%2, 0).String()
		if e.Kind != events.Deleted {
			document := map[string]any{"name": fmt.Sprintf("A person with number %d and a long name %d", entity, e.Version), "email": fmt.Sprintf("person-%d@example.com", entity)}
			if name == "orders" {
				document = map[string]any{
					"number": entity + 1, "customer": id(2*entity, 0).String(), "status": "open", "placed_on": e.Time.Format(time.DateOnly),
					"lines": []any{map[string]any{"sku": "TEA-001", "quantity": 2, "price": 4.5}, map[string]any{"sku": "TEA-002", "quantity": e.Version}},
				}
			}
			c, _ := set.Get(name)
			e.Claims = c.Claims(document)
			e.Document, _ = json.Marshal(document) // it consists of texts and numbers
		}
		all = append(all, e)
	}
	return all
}

// id returns an id that depends on the arguments alone. Ids grow with n, as those of version 7 do.
func id(n int, kind byte) uuid.UUID {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(n)<<16) //nolint:gosec // n is not negative
	u[6], u[8], u[15] = 0x70, 0x80, kind
	binary.BigEndian.PutUint32(u[10:], uint32(n)*2654435761) //nolint:gosec // any bits will do
	return u
}
