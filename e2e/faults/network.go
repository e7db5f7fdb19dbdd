package faults

import (
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// whileCut waits for the duration of a cut, then heals it. The duration is usually longer than
// brokers take to give up on a peer.
func (r *round) whileCut() {
	r.pause(2*time.Second, 10*time.Second)
	r.run.kafka.Network.Heal()
}

// cut disconnects hosts from each other. The host that is cut off gets no notice: it sends
// packets, but no answers arrive.
func (r *round) cut(off *cluster.Process, from ...*cluster.Process) {
	for _, p := range from {
		r.run.kafka.Network.Cut(r.run.kafka.Host(p), r.run.kafka.Host(off))
	}
}

// cutPeers cuts the leader off from its peers, but not from its clients. The peers elect
// another leader. The old leader does not know that, and keeps reporting its own end of the
// log.
func (r *round) cutPeers() {
	leader := r.leader()
	r.cut(leader, r.others(leader)...)
	r.whileCut()
}

// cutServices cuts the leader off from the services, but not from its peers, so that it
// continues to lead.
func (r *round) cutServices() {
	leader := r.leader()
	for _, p := range r.run.services() {
		r.cut(p, leader)
	}
	r.whileCut()
}

// split cuts off the leader together with a command and a query service.
func (r *round) split() {
	c := r.run.kafka
	c.Network.Partition([]*cluster.Host{c.Host(r.leader()), c.Host(r.anyCommand()), c.Host(r.anyQuery())})
	r.whileCut()
}

// cutService leaves one service without any broker.
func (r *round) cutService() {
	services := r.run.services()
	r.cut(services[r.run.rng.IntN(len(services))], r.run.kafka.Kafkas...)
	r.whileCut()
}
