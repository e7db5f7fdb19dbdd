package faults

import (
	"syscall"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// A Fault is one way to break the cluster.
type Fault struct {
	// Name is the name of the fault in the report.
	Name string
	// deposes reports whether the fault may leave a deposed leader alive that does not know
	// that it was deposed. In that case strong reads, and rejections based on them, may be
	// stale. Only linearizable ones are checked for freshness.
	deposes bool
	// slow reports whether the fault takes so long that one injection in a round is enough.
	slow bool
	// inject injects the fault, waits, and repairs what does not recover by itself.
	inject func(*round)
}

// times returns how often the fault is injected in a round.
func (f Fault) times() int {
	if f.slow {
		return 1
	}
	return 2
}

// ofServices lists the faults that any cluster can have.
var ofServices = []Fault{
	{Name: "none", inject: func(r *round) { r.pause(0, time.Second) }},

	{Name: "SIGKILL of a command service", inject: func(r *round) { r.kill(r.anyCommand()) }},
	{Name: "SIGKILL of a query service", inject: func(r *round) { r.kill(r.anyQuery()) }},
	{Name: "SIGKILL of all services at once", inject: func(r *round) { r.kill(r.run.services()...) }},
	{Name: "SIGKILL of Nginx", inject: func(r *round) { r.kill(r.run.cluster.Nginx) }},
	{Name: "SIGSTOP and SIGCONT of a command service", inject: func(r *round) { r.stop(r.anyCommand()) }},
	{Name: "SIGSTOP and SIGCONT of a query service", inject: func(r *round) { r.stop(r.anyQuery()) }},
	{Name: "data folder of a command service gone", inject: func(r *round) { r.lose(r.anyCommand()) }},
	{Name: "data folder of a query service gone", inject: func(r *round) { r.lose(r.anyQuery()) }},

	{Name: "full disk of a query service", inject: (*round).fillDisk},
	{Name: "disk of a query service that hangs", inject: (*round).hangDisk},
}

// ofKafka lists the faults of brokers and of the network.
var ofKafka = []Fault{
	{Name: "SIGKILL of the leading broker", slow: true, inject: func(r *round) { r.kill(r.leader()) }},
	{Name: "SIGKILL of another broker", slow: true, inject: func(r *round) { r.kill(r.follower()) }},
	{Name: "SIGKILL of two brokers at once", slow: true, inject: (*round).killTwoBrokers},
	{Name: "SIGSTOP and SIGCONT of the leading broker", slow: true, deposes: true, inject: func(r *round) { r.stop(r.leader()) }},
	{Name: "SIGSTOP and SIGCONT of another broker", slow: true, deposes: true, inject: func(r *round) { r.stop(r.follower()) }},

	{Name: "leading broker cut off from its peers", slow: true, deposes: true, inject: (*round).cutPeers},
	{Name: "leading broker cut off from the services", slow: true, inject: (*round).cutServices},
	{Name: "leading broker and two services cut off", slow: true, deposes: true, inject: (*round).split},
	{Name: "a service cut off from all brokers", inject: (*round).cutService},
}

// ofEmbedded lists the faults of the all-in-one process, which has the only broker.
var ofEmbedded = []Fault{
	{Name: "SIGKILL of the all-in-one process", inject: func(r *round) { r.kill(r.run.cluster.Server) }},
	{Name: "SIGTERM of the all-in-one process", inject: func(r *round) { r.restart(r.run.cluster.Server) }},
	{Name: "SIGSTOP and SIGCONT of the all-in-one process", inject: func(r *round) { r.stop(r.run.cluster.Server) }},
}

func (r *round) anyCommand() *cluster.Process {
	return r.run.cluster.Commands[r.run.rng.IntN(len(r.run.cluster.Commands))]
}

func (r *round) anyQuery() *cluster.Process {
	return r.run.cluster.Queries[r.run.rng.IntN(len(r.run.cluster.Queries))]
}

// kill kills processes at once, and starts them again after a pause.
func (r *round) kill(processes ...*cluster.Process) {
	for _, p := range processes {
		p.Signal(syscall.SIGKILL)
	}
	for _, p := range processes {
		p.Kill() // Kill waits until the process has ended
	}
	r.pause(0, 2*time.Second)
	for _, p := range processes {
		p.Start()
	}
}

// restart stops a process as operators do, and starts it again.
func (r *round) restart(p *cluster.Process) {
	if code := p.Stop(); code != 0 {
		r.violate("%s exits with %d after SIGTERM", p.Name, code)
	}
	p.Start()
}

// stop suspends a process for some time, so that its peers see it hang. Other brokers stop
// waiting for a suspended broker after three seconds.
func (r *round) stop(p *cluster.Process) {
	p.Signal(syscall.SIGSTOP)
	r.pause(time.Second, 8*time.Second)
	p.Signal(syscall.SIGCONT)
}

// lose kills a process and starts it again without its data.
func (r *round) lose(p *cluster.Process) {
	p.Kill()
	r.run.loseData(p)
	p.Start()
}
