//go:build linux

package feedload

import (
	"bufio"
	"bytes"
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

// A rig is a store with two query nodes. All clients follow the feed at the active one.
type rig struct {
	t        *testing.T
	c        *cluster.Cluster
	nodes    [2]*cluster.Process
	active   atomic.Int32
	failures atomic.Int64
	down     atomic.Bool

	mu    sync.Mutex
	acked map[int64]write // by position
}

// A write is one that was acknowledged. Its phase is "steady", "dying", or "calm": while nodes die again and
// again, but were all up at the time.
type write struct {
	at    time.Time
	phase string
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, c: cluster.Serve(t), acked: map[int64]write{}}
	for i := range r.nodes {
		r.nodes[i] = cluster.QueryOf(t, r.c.Brokers, map[string]string{"CLUSTERLITE_NODE_ID": fmt.Sprintf("query-%d", i+1), "CLUSTERLITE_LOG_LEVEL": "warn", "CLUSTERLITE_PPROF": "true"})
		r.nodes[i].Start()
		r.nodes[i].AwaitReady()
	}
	return r
}

// write creates entities at a rate.
func (r *rig) write(rate int, lasts time.Duration, phase string) {
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
				w := write{time.Now(), phase}
				if phase == "dying" && calm && !r.down.Load() {
					w.phase = "calm"
				}
				position, _ := strconv.ParseInt(response.Header.Get("Clusterlite-Position"), 10, 64)
				r.mu.Lock()
				r.acked[position] = w
				r.mu.Unlock()
			}
		})
	}
	writers.Wait()
}

// die kills the active node again and again, until stop is called. Its clients go to the other one.
func (r *rig) die(clients *crowd, every time.Duration) (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(every):
			case <-stopped:
				return
			}
			victim := r.active.Load()
			r.down.Store(true)
			r.active.Store(1 - victim)
			clients.connectTo(r.nodes[1-victim])
			r.nodes[victim].Kill()
			r.nodes[victim].Start()
			r.nodes[victim].AwaitReady()
			r.down.Store(false)
		}
	}()
	return func() { close(stopped); <-ended }
}

// A usage is what was used and delivered up to a moment, or between two moments.
type usage struct {
	at                                      time.Time
	deliveries                              int64
	node, other, writers, store, clientsCPU time.Duration
}

// measure returns what was used up to now.
func (r *rig) measure(clients *crowd) usage {
	return usage{time.Now(), clients.count(), r.nodes[0].CPU(), r.nodes[1].CPU(), cluster.CPUOf(r.t, os.Getpid()), r.c.Server.CPU(), clients.cpu()}
}

func (u usage) since(v usage) usage {
	return usage{time.Time{}.Add(u.at.Sub(v.at)), u.deliveries - v.deliveries, u.node - v.node, u.other - v.other, u.writers - v.writers, u.store - v.store, u.clientsCPU - v.clientsCPU}
}

func (u usage) String() string {
	took := u.at.Sub(time.Time{}).Seconds()
	of := func(cpu time.Duration) string { return fmt.Sprintf("%.0f %%", 100*cpu.Seconds()/took) }
	each := func(cpu time.Duration) string {
		return fmt.Sprintf("%.2f us", float64(cpu.Microseconds())/float64(max(1, u.deliveries)))
	}
	return fmt.Sprintf("%.0f deliveries/s; CPU of the node %s of a core, %s a delivery, %s without what the node without clients uses; the clients %s, %s a delivery; the node without clients %s, the store %s, the writers %s",
		float64(u.deliveries)/took, of(u.node), each(u.node), each(u.node-u.other), of(u.clientsCPU), each(u.clientsCPU), of(u.other), of(u.store), of(u.writers))
}

// profile takes a CPU profile of the active node into a file, if it has a name.
func (r *rig) profile(file string) (wait func()) {
	if file == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err := suite.Send(http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", r.nodes[0].Admin, int(steady.Seconds())-1), "")
		if err == nil {
			err = os.WriteFile(file, answer.Body, 0o600)
		}
		if err != nil {
			r.t.Errorf("profile: %v", err)
		}
	}()
	return func() { <-done }
}

// latencies describes the times from acknowledgements to arrivals, of the writes of some phases.
func (r *rig) latencies(results []result, phases ...string) string {
	var all []time.Duration
	for _, c := range results {
		for _, s := range c.Samples {
			if w, ok := r.acked[s.Position]; ok && slices.Contains(phases, w.phase) {
				all = append(all, time.Duration(s.At-w.at.UnixNano()))
			}
		}
	}
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, longest %s", at(.5), at(.9), at(.99), at(1))
}

// tail returns the offset of the end of the feed.
func (r *rig) tail() int64 {
	text := suite.Target{URL: r.c.URL}.Do(r.t, http.MethodHead, "/users/changes", "", "Clusterlite-Consistency: linearizable").Want(r.t, 200).Header.Get("Stream-Next-Offset")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// caughtUp reads the changes between two offsets as a client that catches up.
func (r *rig) caughtUp(start, end int64) (s sequence, f flow) {
	for at := start; at < end; {
		path := fmt.Sprintf("/users/changes?limit=10000&offset=%d", at)
		answer := suite.Target{URL: r.nodes[r.active.Load()].URL}.Do(r.t, http.MethodGet, path, "").Want(r.t, 200)
		changes := bytes.TrimSuffix(bytes.TrimPrefix(answer.Body, []byte("[")), []byte("]"))
		s, f = s.after(changes), f.after(changes)
		next, err := strconv.ParseInt(answer.Header.Get("Stream-Next-Offset"), 10, 64)
		if err != nil {
			r.t.Fatal(err)
		}
		at = next
	}
	return s, f
}

// exported returns the sequence of the events of the export between two offsets.
func (r *rig) exported(start, end int64) (s sequence) {
	export := func(until int64) (lines []string) {
		out, err := r.c.Tool(r.t, cluster.Topic, "events", "export", "--until", strconv.FormatInt(until, 10), "--out", "-").Output()
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
		s = s.after([]byte(line))
	}
	return s
}
