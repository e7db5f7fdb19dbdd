package feedload

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// Many clients follow the feed at one query node while there are many writes and the node dies again
// and again. Each client gets every event once, in order.
func TestFeedLoad(t *testing.T) {
	load{clients: 100, rate: 200, lasts: 8 * time.Second, deaths: 3 * time.Second}.run(t)
}

// The same with the numbers that the feed is built for; see make feed.
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
	lasts   time.Duration // how long the clients write
	deaths  time.Duration // how often the node dies
	bounded bool          // the memory of the node is compared with its bound
}

// perClient is the maximum memory that a client of the feed may cost a node.
const perClient = 64 << 10

// A rig is a store with two query nodes. All clients follow the feed at the active one.
type rig struct {
	t        *testing.T
	c        *cluster.Cluster
	nodes    [2]*cluster.Process
	active   atomic.Int32
	failures atomic.Int64

	mu    sync.Mutex
	acked map[string]time.Time // position → when its write was acknowledged
	times map[string][]time.Time
	calm  map[string]bool // positions that were written while no node was down
	down  atomic.Bool
}

func (l load) run(t *testing.T) {
	r := &rig{t: t, c: cluster.Serve(t), acked: map[string]time.Time{}, times: map[string][]time.Time{}, calm: map[string]bool{}}
	for i := range r.nodes {
		r.nodes[i] = cluster.QueryOf(t, r.c.Brokers, map[string]string{"CLUSTERLITE_NODE_ID": fmt.Sprintf("query-%d", i+1), "CLUSTERLITE_LOG_LEVEL": "warn"})
		r.nodes[i].Start()
		r.nodes[i].AwaitReady()
	}
	target := suite.Target{URL: r.c.URL}
	r.write(l.rate, 2*time.Second) // so that the memory without clients is that of a node at work
	before, _ := r.nodes[0].Resident()
	start := r.tail(target)

	ctx, cancel := context.WithCancel(t.Context())
	clients := make([]*client, l.clients)
	var following sync.WaitGroup
	var arrived = make([]atomic.Int64, l.clients)
	for i := range clients {
		c := &client{node: func() string { return r.nodes[r.active.Load()].URL }, offset: start}
		c.arrived = func(offset string) {
			n, _ := strconv.ParseInt(offset, 10, 64)
			arrived[i].Store(n)
		}
		if i%(max(1, l.clients/20)) == 0 { // the times of twenty clients are enough
			c.seen = r.saw
		}
		clients[i] = c
		following.Go(func() {
			if err := c.follow(ctx); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	r.write(l.rate, time.Second) // until all are connected
	delivered := func() (sum int64) {
		for i := range arrived {
			sum += arrived[i].Load()
		}
		return sum
	}
	cpu, count, began := r.nodes[0].CPU(), delivered(), time.Now()
	r.write(l.rate, 5*time.Second)
	deliveries, took := delivered()-count, time.Since(began)
	cpu = r.nodes[0].CPU() - cpu
	with, _ := r.nodes[0].Resident()

	dying := make(chan struct{})
	ctxWrite, written := context.WithCancel(ctx)
	go func() {
		defer close(dying)
		r.die(ctxWrite, l.deaths)
	}()
	r.write(l.rate, l.lasts)
	written()
	<-dying
	end := r.tail(target)
	n, _ := strconv.ParseInt(end, 10, 64)
	deadline := time.Now().Add(2 * time.Minute)
	for i := range arrived {
		for arrived[i].Load() < n {
			if time.Now().After(deadline) {
				t.Fatalf("client %d is at %d, want %d", i, arrived[i].Load(), n)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	cancel()
	following.Wait()

	want := r.exported(start, end)
	sequence, flow := r.caughtUp(start, end)
	if sequence != want {
		t.Errorf("a client that catches up: got %d events (%x), want %d (%x)", sequence.events, sequence.digest, want.events, want.digest)
	}
	connects := 0
	for i, c := range clients {
		if connects += c.connects; c.got != flow {
			t.Errorf("client %d: got %d bytes of events (%x) over %d connections, want %d (%x)", i, c.got.bytes, c.got.digest, c.connects, flow.bytes, flow.digest)
		}
	}
	if connects <= l.clients {
		t.Errorf("got %d connections of %d clients, want more: a node died", connects, l.clients)
	}
	each := (with - before) / int64(l.clients)
	t.Logf("%d clients got %d events each over %d connections; %d writes failed", l.clients, want.events, connects, r.failures.Load())
	t.Logf("without deaths: %.0f deliveries/s, %.2f us of the node's CPU for each, %.0f %% of a core", float64(deliveries)/took.Seconds(), float64(cpu.Microseconds())/float64(max(1, deliveries)), 100*cpu.Seconds()/took.Seconds())
	t.Logf("from the acknowledgement to the client: %s; without writes around a death: %s", r.latencies(false), r.latencies(true))
	t.Logf("memory of the node: %d MiB without clients, %d MiB with them, %d KiB a client", before>>20, with>>20, each>>10)
	if l.bounded && os.Getenv("CLUSTERLITE_E2E_RACE") == "" && each > perClient {
		t.Errorf("got %d bytes of memory a client, want at most %d", each, perClient)
	}
}

// write creates entities at a rate.
func (r *rig) write(rate int, lasts time.Duration) {
	began := time.Now()
	total := int64(float64(rate) * lasts.Seconds())
	var next atomic.Int64
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			for n := next.Add(1) - 1; n < total; n = next.Add(1) - 1 {
				time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate))))
				calm := !r.down.Load()
				response, err := suite.Send("POST", r.c.URL+"/users", suite.UserBody("Ada", suite.Email()))
				if err != nil || response.Status != 201 {
					r.failures.Add(1)
					continue
				}
				position := response.Header.Get("Clusterlite-Position")
				r.mu.Lock()
				r.acked[position], r.calm[position] = time.Now(), calm && !r.down.Load()
				r.mu.Unlock()
			}
		})
	}
	writers.Wait()
}

// die kills the active node again and again. Its clients go to the other one.
func (r *rig) die(ctx context.Context, every time.Duration) {
	for {
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
		victim := r.active.Load()
		r.down.Store(true)
		r.active.Store(1 - victim)
		r.nodes[victim].Kill()
		r.nodes[victim].Start()
		r.nodes[victim].AwaitReady()
		r.down.Store(false)
	}
}

// saw notes when a change arrived.
func (r *rig) saw(change []byte) {
	now := time.Now()
	_, rest, _ := bytes.Cut(change, []byte(`"position":"`))
	position, _, _ := bytes.Cut(rest, []byte(`"`))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times[string(position)] = append(r.times[string(position)], now)
}

// latencies describes the times from acknowledgements to arrivals.
func (r *rig) latencies(calm bool) string {
	var all []time.Duration
	for position, acked := range r.acked {
		for _, at := range r.times[position] {
			if !calm || r.calm[position] {
				all = append(all, at.Sub(acked))
			}
		}
	}
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s, longest %s", at(.5), at(.99), at(1))
}

// tail returns the offset of the end of the feed.
func (r *rig) tail(target suite.Target) string {
	return target.Do(r.t, http.MethodHead, "/users/changes", "", "Clusterlite-Consistency: linearizable").Want(r.t, 200).Header.Get("Stream-Next-Offset")
}

// caughtUp reads the changes between two offsets as a client that catches up.
func (r *rig) caughtUp(start, end string) (s sequence, f flow) {
	for at := start; at < end; { // offsets have the same length
		answer := suite.Target{URL: r.nodes[r.active.Load()].URL}.Do(r.t, http.MethodGet, "/users/changes?limit=10000&offset="+at, "").Want(r.t, 200)
		changes := bytes.TrimSuffix(bytes.TrimPrefix([]byte(answer.Body), []byte("[")), []byte("]"))
		s, f = s.after(changes, nil), f.after(changes)
		at = answer.Header.Get("Stream-Next-Offset")
	}
	return s, f
}

// exported returns the sequence of the events of the export between two offsets.
func (r *rig) exported(start, end string) (s sequence) {
	export := func(until string) (lines []string) {
		out, err := r.c.Tool(r.t, cluster.Topic, "events", "export", "--until", strings.TrimLeft(until, "0"), "--out", "-").Output()
		if err != nil {
			r.t.Fatalf("export: %v", err)
		}
		all := bufio.NewScanner(bytes.NewReader(out))
		all.Buffer(nil, 1<<20)
		for all.Scan() {
			if strings.Contains(all.Text(), string(marker)) {
				lines = append(lines, all.Text())
			}
		}
		return lines
	}
	earlier := len(export(start))
	for _, line := range export(end)[earlier:] {
		s = s.after([]byte(line), nil)
	}
	return s
}
