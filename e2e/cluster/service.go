package cluster

import (
	"fmt"
	"maps"
	"os/exec"
	"testing"
)

// Service returns a command or query service with the given settings. The data folder, the
// addresses and the node's name are set. The service is not started.
func Service(t testing.TB, role, name string, settings map[string]string) *Process {
	t.Helper()
	env := map[string]string{"CLUSTERLITE_NODE_ID": name}
	maps.Copy(env, settings)
	return listening(t, "http", name, "clusterlite-"+role, env)
}

// Encrypted returns an all-in-one process whose listeners use TLS, according to the given
// settings. The process is not started.
func Encrypted(t testing.TB, settings map[string]string) *Process {
	t.Helper()
	return listening(t, "https", "serve", "clusterlite", settings, "serve")
}

// ServeWith returns an all-in-one process with the given settings and a free address for its
// broker. The process is not started.
func ServeWith(t testing.TB, settings map[string]string) *Process {
	t.Helper()
	env := map[string]string{"CLUSTERLITE_KAFKA_LISTEN": Address(t)}
	maps.Copy(env, settings)
	return listening(t, "http", "serve", "clusterlite", env, "serve")
}

// QueryOf returns a query service on a broker, with the given settings. The process is not
// started.
func QueryOf(t testing.TB, broker string, settings map[string]string) *Process {
	t.Helper()
	env := map[string]string{"CLUSTERLITE_KAFKA_BROKERS": broker}
	maps.Copy(env, settings)
	return listening(t, "http", "query", "clusterlite-query", env)
}

// listening returns a process with free addresses and a data folder, unless the settings
// choose others.
func listening(t testing.TB, scheme, name, program string, settings map[string]string, args ...string) *Process {
	t.Helper()
	env := map[string]string{"CLUSTERLITE_HTTP_ADDR": Address(t), "CLUSTERLITE_ADMIN_ADDR": Address(t), "CLUSTERLITE_DATA_DIR": t.TempDir()}
	maps.Copy(env, settings)
	p := newProcess(t, name, Binary(t, program), env, args...)
	p.URL, p.Admin = scheme+"://"+env["CLUSTERLITE_HTTP_ADDR"], scheme+"://"+env["CLUSTERLITE_ADMIN_ADDR"]
	return p
}

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
