package main

// A load is what clients ask of a store, in requests a second.
type load struct {
	writes, eventual, strong float64
}

// Hardware is that of each host. Assumed, not measured.
type hardware struct {
	cores int
	// network is what a broker can send, in bytes a second.
	network float64
	// questions are the requests for the end of the log that the leader answers in a second
	// beside its other work, roundTrip the seconds that one takes.
	questions, roundTrip float64
}

// typical is a host of 8 cores with 10 Gbit/s. A broker answers some 100,000 small requests a
// second.
var typical = hardware{cores: 8, network: 1.25e9, questions: 100_000, roundTrip: 0.001}

// use is the part of each resource that a load takes: 1 is all of it.
type use struct {
	// queryCPU is that of one query node; apply is its worker, which is one goroutine.
	queryCPU, apply float64
	// network and questions are those of the broker that leads.
	network, questions float64
	// sent is what the leader sends, diskWritten what one node writes, in bytes a second.
	sent, diskWritten float64
}

const (
	followers = 2   // replicas of the log besides the leader
	busy      = 0.7 // a resource is used up to this part: beyond it, queues grow
)

// plan is what a load does to a store of so many query and command nodes.
func (p points) plan(l load, queries, commands int, h hardware) use {
	perNode := (l.eventual*p.Reads["eventual"].CPU + l.strong*p.Reads["strong"].CPU) / float64(queries)
	applying := l.writes * p.Apply
	sent := l.writes * p.LogBytes * float64(queries+commands+followers)
	// One question at a time from each node, for all reads that wait for it.
	asked := float64(queries) * min(l.strong/float64(queries), 1/h.roundTrip)
	return use{
		queryCPU: (perNode + applying) / 1e6 / float64(h.cores), apply: applying / 1e6,
		network: sent / h.network, questions: asked / h.questions,
		sent: sent, diskWritten: l.writes * (p.WALBytes + p.FileBytes),
	}
}

// mostQueries is how many query nodes a store can have before the leader sends as much as it
// should, and what it is that runs out first, for strong or eventual reads.
func (p points) mostQueries(writes, strongPerNode float64, h hardware) (nodes int, first string) {
	byNetwork := int(busy*h.network/(writes*p.LogBytes)) - followers - 2
	nodes, first = byNetwork, "network of the leading broker"
	if strongPerNode > 0 {
		if byQuestions := int(busy * h.questions / min(strongPerNode, 1/h.roundTrip)); byQuestions < nodes {
			nodes, first = byQuestions, "questions to the leading broker"
		}
	}
	return nodes, first
}
