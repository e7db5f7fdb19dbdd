// Package faults repeatedly injects faults into a cluster while clients use it, and checks the
// answers that the clients receive.
package faults

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	// Embedded uses a cluster on the broker of an all-in-one process, in place of one on Apache Kafka in a
	// simulated network.
	Embedded bool
	// Dir is the folder for pages that show violations. Empty means that no pages are written.
	Dir string

	t       testing.TB
	cluster *cluster.Cluster
	kafka   *cluster.Networked // nil if Embedded
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
	all := run.startCluster()
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

// startCluster returns the faults that the cluster can have.
func (run *Run) startCluster() []Fault {
	if run.Embedded {
		run.cluster = cluster.EmbeddedWith(run.t, 2, 3, run.settings)
		return slices.Concat(ofServices, ofEmbedded)
	}
	run.kafka = cluster.OnNetwork(run.t, run.settings)
	run.kafka.StartNginx()
	run.cluster = run.kafka.Cluster
	return slices.Concat(ofServices, ofKafka)
}

// tool returns a command of the operator's tool. No fault affects it.
func (run *Run) tool(args ...string) *exec.Cmd {
	if run.Embedded {
		return run.cluster.Tool(run.t, cluster.Topic, args...)
	}
	return run.kafka.Tool(run.t, cluster.Topic, args...)
}

func (run *Run) services() []*cluster.Process { return run.cluster.Processes() }

// commands returns the nodes that accept writes, and queries those that clients read from.
func (run *Run) commands() []*cluster.Process { return run.withServer(run.cluster.Commands) }
func (run *Run) queries() []*cluster.Process  { return run.withServer(run.cluster.Queries) }

func (run *Run) withServer(services []*cluster.Process) []*cluster.Process {
	if run.Embedded {
		return append(slices.Clone(services), run.cluster.Server)
	}
	return services
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
