package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// leader is the broker that leads the log.
func (r *round) leader() *cluster.Process { return r.run.cluster.Leader() }

// follower is one of the others.
func (r *round) follower() *cluster.Process {
	others := r.others(r.leader())
	return others[r.run.rng.IntN(len(others))]
}

// others are the brokers but one.
func (r *round) others(but *cluster.Process) []*cluster.Process {
	return slices.DeleteFunc(slices.Clone(r.run.cluster.Kafkas), func(p *cluster.Process) bool { return p == but })
}

// killTwoBrokers leaves one of three: too few to acknowledge anything, and to choose a
// leader. Writes must say so, and reads continue from what the nodes have, and say that.
func (r *round) killTwoBrokers() {
	gone := r.others(r.run.cluster.Kafkas[r.run.rng.IntN(3)])
	for _, p := range gone {
		p.Signal(syscall.SIGKILL)
	}
	for _, p := range gone {
		p.Kill() // waits
	}
	for _, p := range r.run.cluster.Commands {
		r.refusesWrites(p.URL)
	}
	for _, p := range r.run.cluster.Queries {
		r.goesOnReading(p.URL)
	}
	for _, p := range gone {
		p.Start()
	}
}

// refusesWrites checks that a write is not acknowledged, and that its answer is honest
// about the outcome.
func (r *round) refusesWrites(url string) {
	body := fmt.Sprintf(`{"name":"n","email":"outage%d@example.com"}`, r.run.now())
	response, err := (&http.Client{Timeout: 2 * writePatience}).Post(url+"/users", "application/json", strings.NewReader(body))
	if err != nil {
		r.violate("a write while two brokers are gone has no answer: %v", err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		r.violate("a write while two brokers are gone is answered with %d", response.StatusCode)
	}
}

// goesOnReading checks that a read that demands nothing is answered, and says of what
// consistency it is. (The broker that is left may be the leader still. Nothing is
// acknowledged any more, so its end of the log is the end.)
func (r *round) goesOnReading(url string) {
	response, err := (&http.Client{Timeout: 2 * readPatience}).Get(url + "/users?limit=1")
	if err != nil {
		r.violate("a read while two brokers are gone has no answer: %v", err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	label := response.Header.Get("Clusterlite-Consistency")
	if response.StatusCode != http.StatusOK || label != "eventual" && label != "strong" {
		r.violate("a read while two brokers are gone is answered with %d, consistency %q", response.StatusCode, label)
	}
}
