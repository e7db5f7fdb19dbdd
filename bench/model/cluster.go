package main

// A load is the number of requests per second that clients send to a store.
type load struct {
	writes, eventual, strong float64
}

// Hardware describes each host. The values are assumed, not measured.
type hardware struct {
	cores int
	// network is what a broker can send, in bytes per second.
	network float64
	// questions is the number of requests for the end of the log that the leader answers per
	// second beside its other work. roundTrip is the duration of one, in seconds.
	questions, roundTrip float64
}

// typical is a host with 8 cores and 10 Gbit/s. A broker answers about 100,000 small requests
// per second.
var typical = hardware{cores: 8, network: 1.25e9, questions: 100_000, roundTrip: 0.001}

// use is the fraction of each resource that a load uses: 1 is all of it.
type use struct {
	// queryCPU is the use of one query node's processor. apply is the use of its worker, which
	// is one goroutine.
	queryCPU, apply float64
	// network and questions are the use of the leading broker.
	network, questions float64
	// sent is what the leader sends, diskWritten what one node writes, in bytes per second.
	sent, diskWritten float64
}

const (
	followers = 2   // replicas of the log besides the leader
	busy      = 0.7 // the maximum use of a resource: beyond it, queues grow
)

// plan returns what a load uses of a store with the given numbers of query and command nodes.
func (p points) plan(l load, queries, commands int, h hardware) use {
	perNode := (l.eventual*p.Reads["eventual"].CPU + l.strong*p.Reads["strong"].CPU) / float64(queries)
	applying := l.writes * p.Apply
	sent := l.writes * p.LogBytes * float64(queries+commands+followers)
	// Each node sends one question at a time, for all reads that wait for the answer.
	asked := float64(queries) * min(l.strong/float64(queries), 1/h.roundTrip)
	return use{
		queryCPU: (perNode + applying) / 1e6 / float64(h.cores), apply: applying / 1e6,
		network: sent / h.network, questions: asked / h.questions,
		sent: sent, diskWritten: l.writes * (p.WALBytes + p.FileBytes),
	}
}

// maxQueries returns the maximum number of query nodes before the leader reaches its limit. It
// also returns which resource runs out first, for strong or eventual reads.
func (p points) maxQueries(writes, strongPerNode float64, h hardware) (nodes int, first string) {
	byNetwork := int(busy*h.network/(writes*p.LogBytes)) - followers - 2
	nodes, first = byNetwork, "network of the leading broker"
	if strongPerNode > 0 {
		if byQuestions := int(busy * h.questions / min(strongPerNode, 1/h.roundTrip)); byQuestions < nodes {
			nodes, first = byQuestions, "questions to the leading broker"
		}
	}
	return nodes, first
}
