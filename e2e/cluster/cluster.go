package cluster

import (
	"fmt"
	"path/filepath"
	"testing"
)

// A Cluster is a running ClusterLite, deployed in any way.
type Cluster struct {
	// URL is the address that clients use.
	URL string
	// Server is the all-in-one process, if there is one.
	Server *Process
	// Commands and Queries are the services behind Nginx, if any.
	Commands, Queries []*Process
	// Nginx is the proxy in front of the services, if any.
	Nginx *Process
	// Kafka is the Kafka cluster, if it is a real one.
	Kafka *Kafka
	// Brokers is the bootstrap list.
	Brokers string

	t        testing.TB
	settings []Setting
	programs string // the folder with another version's programs; empty for this version's
}

// A Setting changes the environment of services. It is called with the name of each service
// before the service is started.
type Setting func(service string, env map[string]string)

// Serve starts one process with an embedded broker.
func Serve(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	c.serve()
	c.URL = c.Server.URL
	return c
}

func (c *Cluster) serve() {
	c.t.Helper()
	api, admin, broker := Address(c.t), Address(c.t), Address(c.t)
	c.Brokers = broker
	env := map[string]string{
		"CLUSTERLITE_NODE_ID": "all-1", "CLUSTERLITE_HTTP_ADDR": api, "CLUSTERLITE_ADMIN_ADDR": admin,
		"CLUSTERLITE_KAFKA_LISTEN": broker, "CLUSTERLITE_DATA_DIR": filepath.Join(c.t.TempDir(), "data"),
		"CLUSTERLITE_COLLECTIONS": filepath.Join(Root(c.t), "examples"),
	}
	c.apply("clusterlite", env)
	c.Server = newProcess(c.t, "clusterlite", binary(c.t, c.programs, "clusterlite"), env, "serve")
	c.Server.URL, c.Server.Admin = "http://"+api, "http://"+admin
	c.Server.Start()
	c.Server.AwaitReady()
}

// Embedded starts two command and three query services behind Nginx, on the broker of
// an all-in-one process.
func Embedded(t testing.TB) *Cluster {
	t.Helper()
	return EmbeddedOf(t, "")
}

// EmbeddedOf is like Embedded, but uses the programs in a folder, such as the one that
// [ProgramsOf] returns.
func EmbeddedOf(t testing.TB, programs string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, programs: programs}
	c.serve()
	c.services(2, 3)
	return c
}

// EmbeddedWith is like Embedded, but with other numbers of services, and with the given settings.
func EmbeddedWith(t testing.TB, commands, queries int, settings ...Setting) *Cluster {
	t.Helper()
	c := &Cluster{t: t, settings: settings}
	c.serve()
	c.services(commands, queries)
	return c
}

// OnKafka starts two command and three query services behind Nginx, on three brokers of
// Apache Kafka.
func OnKafka(t testing.TB, settings ...Setting) *Cluster {
	t.Helper()
	c := &Cluster{t: t, Kafka: startKafka(t, 3), settings: settings}
	c.Brokers = c.Kafka.Bootstrap
	c.services(2, 3)
	return c
}

func (c *Cluster) services(commands, queries int) {
	c.t.Helper()
	for i := range commands {
		c.Commands = append(c.Commands, c.service("command", i+1))
	}
	for i := range queries {
		c.Queries = append(c.Queries, c.service("query", i+1))
	}
	for _, p := range append(c.Commands[:commands:commands], c.Queries...) {
		p.Start()
	}
	for _, p := range append(c.Commands[:commands:commands], c.Queries...) {
		p.AwaitReady()
	}
	c.StartNginx()
}

// StartNginx puts Nginx in front of the services.
func (c *Cluster) StartNginx() {
	c.t.Helper()
	c.Nginx = Nginx(c.t, c.ReadURLs(), c.WriteURLs())
	c.URL = c.Nginx.URL
}

func (c *Cluster) apply(service string, env map[string]string) {
	for _, set := range c.settings {
		set(service, env)
	}
}

// AddQuery adds a query service. It is not started, and Nginx does not know it.
func (c *Cluster) AddQuery() *Process {
	c.t.Helper()
	p := c.service("query", len(c.Queries)+1)
	c.Queries = append(c.Queries, p)
	return p
}

// AddCommand adds a command service. It is not started, and Nginx does not know it.
func (c *Cluster) AddCommand() *Process {
	c.t.Helper()
	p := c.service("command", len(c.Commands)+1)
	c.Commands = append(c.Commands, p)
	return p
}

func (c *Cluster) service(role string, i int) *Process {
	c.t.Helper()
	api, admin := Address(c.t), Address(c.t)
	name := fmt.Sprintf("%s-%d", role, i)
	env := map[string]string{
		"CLUSTERLITE_NODE_ID": name, "CLUSTERLITE_HTTP_ADDR": api, "CLUSTERLITE_ADMIN_ADDR": admin,
		"CLUSTERLITE_KAFKA_BROKERS": c.Brokers, "CLUSTERLITE_DATA_DIR": filepath.Join(c.t.TempDir(), "data"),
		"CLUSTERLITE_LOG_FORMAT": "json", "CLUSTERLITE_COLLECTIONS": filepath.Join(Root(c.t), "examples"),
	}
	c.apply(name, env)
	p := newProcess(c.t, name, binary(c.t, c.programs, "clusterlite-"+role), env)
	p.URL, p.Admin = "http://"+api, "http://"+admin
	return p
}

// Processes returns all services of the cluster.
func (c *Cluster) Processes() []*Process {
	var all []*Process
	if c.Server != nil {
		all = append(all, c.Server)
	}
	return append(append(all, c.Commands...), c.Queries...)
}

// WriteURLs returns the URLs of the services that accept writes.
func (c *Cluster) WriteURLs() []string { return urls(c.Server, c.Commands) }

// ReadURLs returns the URLs of the services that answer reads directly.
func (c *Cluster) ReadURLs() []string { return urls(c.Server, c.Queries) }

func urls(server *Process, services []*Process) []string {
	if len(services) == 0 {
		return []string{server.URL}
	}
	var all []string
	for _, p := range services {
		all = append(all, p.URL)
	}
	return all
}
