package faults

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// leader is the broker that leads the log.
func (r *round) leader() int { return r.run.cluster.Kafka.Leader() }

// follower is one of the others.
func (r *round) follower() int {
	return (r.leader()+r.run.rng.IntN(2))%3 + 1
}

func (r *round) killBroker(i int) {
	r.run.cluster.Kafka.Kill(i)
	r.pause(2*time.Second, 6*time.Second)
	r.run.cluster.Kafka.Start(i)
}

// stopBroker halts a broker for long enough that its peers give it up.
func (r *round) stopBroker(i int) {
	r.run.cluster.Kafka.Signal(i, syscall.SIGSTOP)
	r.pause(4*time.Second, 10*time.Second)
	r.run.cluster.Kafka.Signal(i, syscall.SIGCONT)
}

// killTwoBrokers leaves one of three: too few to acknowledge anything, and to choose a
// leader. Writes must say so, and reads go on from what the nodes have, and say that.
func (r *round) killTwoBrokers() {
	kafka := r.run.cluster.Kafka
	spared := 1 + r.run.rng.IntN(3)
	for i := range 3 {
		if i+1 != spared {
			kafka.Signal(i+1, syscall.SIGKILL)
		}
	}
	for i := range 3 {
		if i+1 != spared {
			kafka.Kill(i + 1) // waits
		}
	}
	for _, p := range r.run.cluster.Commands {
		r.refusesWrites(p.URL)
	}
	for _, p := range r.run.cluster.Queries {
		r.goesOnReading(p.URL)
	}
	for i := range 3 {
		if i+1 != spared {
			kafka.Start(i + 1)
		}
	}
}

// refusesWrites checks that a write is not acknowledged, and that its answer says what
// is known.
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
