// Package faults repeatedly injects faults into a cluster while clients use it, and checks the
// answers that the clients receive.
package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// A Run is a series of rounds on one cluster.
type Run struct {
	// Seed determines the faults, their times, and the requests of clients. It does not
	// determine the order of concurrent requests.
	Seed uint64
	// Time is how long new rounds are started.
	Time time.Duration
	// Dir is the folder for pages that show violations. Empty means that no pages are written.
	Dir string

	t       testing.TB
	cluster *cluster.Networked
	disk    *disk
	start   time.Time
	rng     *rand.Rand
	// strongest is the consistency that the last reads demand.
	strongest string
	// readers follow the feed during the whole run.
	readers []*reader
	// stuck reports whether the cluster has not recovered. No further round can start then.
	stuck bool

	mu          sync.Mutex
	generations map[*cluster.Process]int
}

// shownAtMost is the maximum number of violations that are shown for a round.
const shownAtMost = 10

// Play starts a cluster and plays rounds on it.
func (run *Run) Play(t testing.TB) Report {
	t.Helper()
	run.t, run.rng = t, rand.New(rand.NewPCG(run.Seed, 0))
	run.generations, run.strongest = map[*cluster.Process]int{}, "linearizable"
	run.disk = newDisk(t)
	run.cluster = cluster.OnNetwork(t, run.settings)
	run.cluster.StartNginx()
	run.start = time.Now()
	stop := run.follow()
	defer stop()
	report := Report{Seed: run.Seed}
	var deck []Fault
	for n := 1; !run.stuck && time.Since(run.start) < run.Time; n++ {
		if len(deck) == 0 {
			deck = append(deck, all...)
			run.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		r := &round{run: run, number: n, fault: deck[0]}
		deck = deck[1:]
		began := run.now()
		r.play()
		r.tally.Violations = len(r.violations)
		report.add(r.fault.Name, r.tally)
		t.Logf("%6.1fs round %d: %s: %+v, %.1fs", run.now().Seconds(), n, r.fault.Name, r.tally, (run.now() - began).Seconds())
		for i, v := range r.violations {
			if i == shownAtMost {
				t.Errorf("round %d, %s: and %d more", n, r.fault.Name, len(r.violations)-i)
				break
			}
			t.Errorf("round %d, %s: %s", n, r.fault.Name, v)
		}
	}
	if !run.stuck {
		run.compare(stop)
	}
	report.Took = run.now()
	return report
}

// settings gives the small disk to the last query service, and makes writes time out before
// their clients do.
func (run *Run) settings(service string, env map[string]string) {
	env["CLUSTERLITE_WRITE_WAIT"] = "5s"
	env["CLUSTERLITE_MODELS_DIR"] = filepath.Join(cluster.Root(run.t), "e2e", "faults", "models")
	if service == "query-3" {
		env["CLUSTERLITE_DATA_DIR"] = run.disk.dir + "/data"
	}
}

// now returns the time since the start of the run.
func (run *Run) now() time.Duration { return time.Since(run.start) }

// generation returns how often a process has lost its data.
func (run *Run) generation(p *cluster.Process) int {
	run.mu.Lock()
	defer run.mu.Unlock()
	return run.generations[p]
}

// loseData removes the stored data of a process. The process must not be running.
func (run *Run) loseData(p *cluster.Process) {
	run.mu.Lock()
	run.generations[p]++
	run.mu.Unlock()
	if err := os.RemoveAll(p.DataDir()); err != nil {
		run.t.Errorf("remove the data of %s: %v", p.Name, err)
	}
}
