package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// TestDeposedLeader tests the case that linearizable consistency exists for. The leader of the
// log is cut off from the other two brokers, together with a query service and a command
// service. The other brokers elect another leader, and acknowledge writes. The old leader does
// not know that, and keeps reporting its own end of the log.
func TestDeposedLeader(t *testing.T) {
	wanted(t, "netns")
	c := cluster.OnNetwork(t)
	write, read := suite.Target{URL: c.Commands[0].URL}, suite.Target{URL: c.Queries[0].URL}
	cutWrite, cutRead := suite.Target{URL: c.Commands[1].URL}, suite.Target{URL: c.Queries[1].URL}

	entity := write.Create(t, "before")
	path := "/users/" + entity.ID
	cutRead.Do(t, "GET", path, "").Want(t, 200)
	leader := c.Leader()
	t.Logf("%s leads and is cut off", leader.Name)
	c.Network.Partition([]*cluster.Host{c.Host(leader), c.Host(c.Queries[1]), c.Host(c.Commands[1])})

	strong := map[string]int{}
	for round := range 5 {
		name := fmt.Sprint("after-", round)
		var acknowledged suite.Response
		eventually(t, "the majority takes a write", func() bool {
			r, err := suite.Send("PATCH", write.URL+path, fmt.Sprintf(`{"name":%q}`, name))
			acknowledged = r
			return err == nil && r.Status == 200
		})
		created := write.Create(t, "unknown to those cut off")
		if r := read.Do(t, "GET", path, "", "Clusterlite-Consistency: linearizable").Want(t, 200); string(r.Body) != string(acknowledged.Body) {
			t.Errorf("the majority: got %s, want the acknowledged %s", r.Body, acknowledged.Body)
		}

		r := cutRead.Do(t, "GET", path, "", "Clusterlite-Consistency: strong")
		switch {
		case r.Status == 503:
			strong["503"]++
		case r.Status == 200 && r.Header.Get("Clusterlite-Consistency") == "strong" && !strings.Contains(string(r.Body), name):
			strong["an answer from the past"]++
		default:
			t.Errorf("strong: got the unexpected answer %d %v %s", r.Status, r.Header, r.Body)
		}
		r = cutRead.Do(t, "GET", path, "", "Clusterlite-Consistency: linearizable")
		r.Problem(t, 503, "broker-unreachable")
		if r.Header.Get("Retry-After") == "" {
			t.Error("got no Retry-After, want one")
		}
		// The same holds for a rejection: a node that is cut off can't know whether the entity
		// exists.
		cutWrite.Do(t, "DELETE", "/users/"+created.ID, "", "Clusterlite-Consistency: linearizable").Problem(t, 503, "broker-unreachable")
		cutRead.Do(t, "GET", path, "", "Clusterlite-Consistency: eventual").Want(t, 200)
	}
	t.Logf("strong, asked of the node that is cut off, gave %v", strong)

	c.Network.Heal()
	last := read.Do(t, "GET", path, "").Want(t, 200)
	eventually(t, "the node that was cut off serves linearizable reads", func() bool {
		r, err := suite.Send("GET", cutRead.URL+path, "", "Clusterlite-Consistency: linearizable")
		if err == nil && r.Status == 200 && string(r.Body) != string(last.Body) {
			t.Errorf("got %s, want what the majority reads, %s", r.Body, last.Body)
		}
		return err == nil && r.Status == 200
	})
	eventually(t, "the service that was cut off takes writes", func() bool {
		r, err := suite.Send("PATCH", cutWrite.URL+path, `{"name":"healed"}`)
		return err == nil && r.Status == 200
	})
	equalRows(t, c.Cluster)
	for _, p := range c.Processes() {
		if p.Exited() {
			t.Errorf("%s has ended, want it to run", p.Name)
		}
	}
}
