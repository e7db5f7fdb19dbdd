//go:build linux

package feedload

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

func TestMain(m *testing.M) {
	if os.Getenv(readersVariable) == "" {
		cluster.Main(m)
		return
	}
	if err := runReaders(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Many clients follow the feed at one query node while there are many writes and the node dies again
// and again. Each client gets every event once, in order.
func TestFeedLoad(t *testing.T) {
	load{clients: 100, rate: 200, lasts: 8 * time.Second, deaths: 3 * time.Second}.run(t)
}

// The same with the numbers that the feed is built for; see make feedload.
func TestFeedLoadFull(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "feedload") {
		t.Skip("CLUSTERLITE_E2E does not name feedload")
	}
	load{clients: number("CLIENTS", 1000), rate: number("RATE", 1000), lasts: time.Duration(number("SECONDS", 60)) * time.Second, deaths: 10 * time.Second, bounded: true}.run(t)
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("CLUSTERLITE_FEEDLOAD_" + name)); err == nil {
		return n
	}
	return otherwise
}

// A load is what a store has to take.
type load struct {
	clients int
	rate    int           // of writes, in a second
	lasts   time.Duration // how long the clients write while the node dies again and again
	deaths  time.Duration // how often the node dies
	bounded bool          // the memory of the node is compared with its bound
}

// perClient is the maximum memory that a client of the feed may cost a node.
const perClient = 64 << 10

// steady is how long the clients write before the node dies for the first time.
const steady = 5 * time.Second

func (l load) run(t *testing.T) {
	r := newRig(t)
	r.write(l.rate, 2*time.Second, "") // so that the memory without clients is that of a node at work
	before, _ := r.nodes[0].Resident()
	start := r.tail()
	clients := startCrowd(t, order{Clients: l.clients, Sampled: max(1, l.clients/20), Port: port(t, r.nodes[0]), Offset: start}) // the times of twenty clients are enough
	r.write(l.rate, time.Second, "")                                                                                             // until all are connected

	profiled := r.profile(os.Getenv("CLUSTERLITE_FEEDLOAD_PROFILE"))
	u := r.measure(clients)
	r.write(l.rate, steady, "steady")
	u = r.measure(clients).since(u)
	profiled()
	with, _ := r.nodes[0].Resident()

	dying := r.die(clients, l.deaths)
	r.write(l.rate, l.lasts, "dying")
	dying()
	end := r.tail()
	results := clients.finish(end)

	want := r.exported(start, end)
	sequence, flow := r.caughtUp(start, end)
	if sequence != want {
		t.Errorf("a client that catches up: got %d events (%x), want %d (%x)", sequence.events, sequence.digest, want.events, want.digest)
	}
	connects := 0
	for i, c := range results {
		if got := (flowOf(c)); got != flow {
			t.Errorf("client %d: got %d bytes of events (%x) over %d connections, want %d (%x)", i, got.bytes, got.digest, c.Connects, flow.bytes, flow.digest)
		}
		connects += c.Connects
	}
	if connects <= l.clients {
		t.Errorf("got %d connections of %d clients, want more: a node died", connects, l.clients)
	}
	each := (with - before) / int64(l.clients)
	t.Logf("%d clients got %d events each over %d connections; %d writes failed", l.clients, want.events, connects, r.failures.Load())
	t.Logf("without deaths: %s", u)
	t.Logf("from the acknowledgement to the client, without deaths: %s", r.latencies(results, "steady"))
	t.Logf("with deaths, without writes around them: %s", r.latencies(results, "calm"))
	t.Logf("with deaths: %s", r.latencies(results, "dying", "calm"))
	t.Logf("memory of the node: %d MiB without clients, %d MiB with them, %d KiB a client", before>>20, with>>20, each>>10)
	if l.bounded && os.Getenv("CLUSTERLITE_E2E_RACE") == "" && each > perClient {
		t.Errorf("got %d bytes of memory a client, want at most %d", each, perClient)
	}
}

func flowOf(c result) flow { return flow{c.Bytes, c.Digest} }
