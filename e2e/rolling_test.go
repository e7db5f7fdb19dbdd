package e2e_test

import (
	"os/exec"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// rollingRestart drains and restarts each service, one after the other, and then each broker, as
// an upgrade does. No read through Nginx fails, and while the services restart, none is older than an
// earlier one. A write fails only with a 503 that says so, and no connection breaks.
func rollingRestart(t *testing.T, c *cluster.Cluster) {
	l := startLoad(t, c.URL)
	r := startReaders(t, []string{c.URL, c.URL}, "strong")
	services := append(c.Queries[:len(c.Queries):len(c.Queries)], c.Commands...)
	for _, p := range append(services[:len(services):len(services)], services...) { // the second time with a wait
		l.progress(30)
		p.Set("CLUSTERLITE_DRAIN_WAIT", "1s") // from its next start
		drain(t, p)
		if code := p.Stop(); code != 0 {
			t.Errorf("%s: got exit code %d, want 0", p.Name, code)
		}
		p.Start()
		p.AwaitReady()
	}
	for _, p := range services {
		p.Set("CLUSTERLITE_DRAIN_WAIT", "0s") // other tests do not wait
	}
	l.progress(30)
	t.Logf("services: %d writes acknowledged, not done: %v", l.acknowledged(), l.notDone())
	r.end()
	t.Logf("%d strong reads, none of which failed", r.reads)
	if c.Kafka != nil {
		r = startReaders(t, []string{c.URL, c.URL}, byDefault) // strong reads may get 503 until a leader is elected
		for i := range c.Kafka.Ports {
			i++ // brokers are counted from 1
			c.Kafka.Stop(i)
			l.progress(30)
			c.Kafka.Start(i)
			c.Kafka.AwaitInSync(cluster.Topic)
			l.progress(30)
		}
		r.end()
		t.Logf("with brokers: %d writes acknowledged, not done: %v; %d reads, none of which failed", l.acknowledged(), l.notDone(), r.reads)
	}
	if broken := l.notDone()["broken connection"]; broken > 0 {
		t.Errorf("got %d broken connections, want none", broken)
	}
	l.end(c)
}

// drain runs the subcommand that a container runs before it is stopped, and checks that the service
// no longer counts as ready.
func drain(t *testing.T, p *cluster.Process) {
	t.Helper()
	role := map[bool]string{true: "clusterlite-command", false: "clusterlite-query"}[p.Name[0] == 'c']
	cmd := exec.Command(cluster.Binary(t, role), "drain")
	cmd.Env = []string{"CLUSTERLITE_ADMIN_ADDR=" + p.Setting("CLUSTERLITE_ADMIN_ADDR"), "CLUSTERLITE_ADMIN_TOKEN=" + p.Setting("CLUSTERLITE_ADMIN_TOKEN")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("drain %s: got %v: %s", p.Name, err, out)
	}
	if p.NotReady() == "" {
		t.Errorf("%s: got a ready service after its drain, want none", p.Name)
	}
}
