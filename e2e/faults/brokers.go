package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// leader returns the broker that leads the log.
func (r *round) leader() *cluster.Process { return r.run.kafka.Leader() }

// follower returns one of the other brokers.
func (r *round) follower() *cluster.Process {
	others := r.others(r.leader())
	return others[r.run.rng.IntN(len(others))]
}

// others returns all brokers but one.
func (r *round) others(but *cluster.Process) []*cluster.Process {
	return slices.DeleteFunc(slices.Clone(r.run.kafka.Kafkas), func(p *cluster.Process) bool { return p == but })
}

// killTwoBrokers leaves one of three brokers running, which is too few to acknowledge a write
// or to elect a leader. Answers to writes must say so. Reads continue from the nodes' own
// state, and must say so too.
func (r *round) killTwoBrokers() {
	gone := r.others(r.run.kafka.Kafkas[r.run.rng.IntN(3)])
	for _, p := range gone {
		p.Signal(syscall.SIGKILL)
	}
	for _, p := range gone {
		p.Kill() // Kill waits until the process has ended
	}
	for _, p := range r.run.cluster.Commands {
		r.checkWritesFail(p.URL)
	}
	for _, p := range r.run.cluster.Queries {
		r.checkReadsContinue(p.URL)
	}
	for _, p := range gone {
		p.Start()
	}
}

// checkWritesFail checks that no write is acknowledged, and that the answers are honest about the
// outcome.
func (r *round) checkWritesFail(url string) {
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

// checkReadsContinue checks that a read without a required consistency is answered, and that the
// answer names its consistency. (The remaining broker may still be the leader. No more writes
// are acknowledged, so the end of its log is the end of the log.)
func (r *round) checkReadsContinue(url string) {
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
