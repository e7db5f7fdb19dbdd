package cluster

import (
	"fmt"
	"os/exec"
	"testing"
)

// Tool returns a command that calls the operator's tool with these arguments, on a topic of the
// cluster's brokers. The command is not started.
func (c *Cluster) Tool(t testing.TB, topic string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Binary(t, "clusterlite"), args...)
	cmd.Env = append(environment(), "CLUSTERLITE_KAFKA_BROKERS="+c.Brokers, "CLUSTERLITE_KAFKA_TOPIC="+topic)
	return cmd
}

// Beside starts a store on another topic of the cluster's brokers: one command and one
// query service, without Nginx.
func (c *Cluster) Beside(t testing.TB, topic string) *Cluster {
	t.Helper()
	other := &Cluster{t: t, Kafka: c.Kafka, Brokers: c.Brokers}
	other.Commands, other.Queries = []*Process{other.service("command", 1)}, []*Process{other.service("query", 1)}
	for _, p := range other.Processes() {
		p.Name = fmt.Sprintf("%s-%s", topic, p.Name)
		p.env = append(p.env, "CLUSTERLITE_KAFKA_TOPIC="+topic, "CLUSTERLITE_NODE_ID="+p.Name)
		p.Start()
	}
	for _, p := range other.Processes() {
		p.AwaitReady()
	}
	return other
}
