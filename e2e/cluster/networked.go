package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Networked cluster consists of three brokers of Apache Kafka, two command services and three
// query services. Each runs on its own host in a simulated network. Clients, and Nginx if it is
// started, run on the test's side.
type Networked struct {
	*Cluster
	Network *Network
	// Kafkas are the brokers. Broker i, counted from 1, has the index i-1.
	Kafkas []*Process
	// Observed is the bootstrap list for the test, which no partition affects. Brokers is the
	// list for the services; it can't be used from outside the network.
	Observed string

	hosts map[*Process]*Host
}

// OnNetwork starts a networked cluster, without Nginx.
func OnNetwork(t testing.TB, settings ...Setting) *Networked {
	t.Helper()
	c := &Networked{Cluster: &Cluster{t: t, settings: settings}, Network: NewNetwork(t), hosts: map[*Process]*Host{}}
	c.startBrokers(3)
	for i := range 2 {
		c.Commands = append(c.Commands, c.service("command", i+1))
	}
	for i := range 3 {
		c.Queries = append(c.Queries, c.service("query", i+1))
	}
	for _, p := range c.Processes() {
		p.Start()
	}
	for _, p := range c.Processes() {
		p.AwaitReady()
	}
	return c
}

// Leader returns the broker that leads the log.
func (c *Networked) Leader() *Process {
	c.t.Helper()
	return c.Kafkas[leader(c.t, strings.Split(c.Observed, ","))-1]
}

// Tool returns a command that calls the operator's tool, as in [Cluster.Tool]. No partition affects it.
func (c *Networked) Tool(t testing.TB, topic string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := c.Cluster.Tool(t, topic, args...)
	cmd.Env = append(cmd.Env, "CLUSTERLITE_KAFKA_BROKERS="+c.Observed)
	return cmd
}

// NotWhole describes how the brokers disagree. It returns an empty string once all of them name
// the same leader of the log and are in sync. Only then can no deposed broker believe that it
// leads.
func (c *Networked) NotWhole() string {
	var first int32
	for i, address := range strings.Split(c.Observed, ",") {
		leader, inSync, err := describe(address)
		switch {
		case err != nil:
			return fmt.Sprintf("broker %d: %v", i+1, err)
		case i > 0 && leader != first:
			return fmt.Sprintf("broker %d says that %d leads, broker 1 names %d", i+1, leader, first)
		case inSync != len(c.Kafkas):
			return fmt.Sprintf("broker %d says that %d brokers are in sync", i+1, inSync)
		}
		first = leader
	}
	return ""
}

// describe asks one broker which broker leads the log and how many are in sync.
func describe(address string) (leader int32, inSync int, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(Topic)
	request := kmsg.NewMetadataRequest()
	request.Topics = append(request.Topics, topic)
	response, err := client.SeedBrokers()[0].Request(ctx, &request)
	if err != nil {
		return 0, 0, err
	}
	topics := response.(*kmsg.MetadataResponse).Topics
	if len(topics) != 1 || len(topics[0].Partitions) != 1 {
		return 0, 0, errors.New("it does not know the log")
	}
	return topics[0].Partitions[0].Leader, len(topics[0].Partitions[0].ISR), nil
}

// Host returns the host that a process runs on.
func (c *Networked) Host(p *Process) *Host { return c.hosts[p] }

// process creates a process on a new host of the same name.
func (c *Networked) process(name string, make func(*Host) (binary string, args []string, env map[string]string)) *Process {
	c.t.Helper()
	h := c.Network.Host(name)
	binary, args, env := make(h)
	binary, args = h.command(binary, args...)
	p := newProcess(c.t, name, binary, env, args...)
	c.hosts[p] = h
	return p
}

func (c *Networked) service(role string, i int) *Process {
	c.t.Helper()
	name := fmt.Sprintf("%s-%d", role, i)
	p := c.process(name, func(h *Host) (string, []string, map[string]string) {
		env := map[string]string{
			"CLUSTERLITE_NODE_ID": name, "CLUSTERLITE_HTTP_ADDR": h.Observed + ":8080", "CLUSTERLITE_ADMIN_ADDR": h.Observed + ":9080",
			"CLUSTERLITE_KAFKA_BROKERS": c.Brokers, "CLUSTERLITE_DATA_DIR": filepath.Join(c.t.TempDir(), "data"), "CLUSTERLITE_LOG_FORMAT": "json",
			// The admin listener is not on loopback.
			"CLUSTERLITE_ADMIN_TOKEN": "a-token-of-the-network",
		}
		c.apply(name, env)
		return Binary(c.t, "clusterlite-"+role), nil, env
	})
	h := c.hosts[p]
	p.URL, p.Admin = "http://"+h.Observed+":8080", "http://"+h.Observed+":9080"
	return p
}

// startBrokers starts Apache Kafka on n hosts and waits until all brokers serve.
func (c *Networked) startBrokers(n int) {
	c.t.Helper()
	libs := os.Getenv("CLUSTERLITE_KAFKA_LIBS")
	if libs == "" {
		libs = "/opt/kafka/libs"
	}
	java := func(class string, args ...string) (string, []string) {
		return "java", append([]string{"-Xmx400m", "-cp", libs + "/*", class}, args...)
	}
	dir := c.t.TempDir()
	var voters, brokers, observed []string
	for i := 1; i <= n; i++ {
		voters = append(voters, fmt.Sprintf("%d@%s%d:9093", i, hostPrefix, i))
	}
	for i := 1; i <= n; i++ {
		config := filepath.Join(dir, fmt.Sprintf("%d.properties", i))
		p := c.process(fmt.Sprintf("kafka-%d", i), func(h *Host) (string, []string, map[string]string) {
			if err := os.WriteFile(config, []byte(brokerProperties(i, h, dir, strings.Join(voters, ","))), 0o600); err != nil {
				c.t.Fatal(err)
			}
			binary, args := java("kafka.Kafka", config)
			return binary, args, nil
		})
		format, args := java("kafka.tools.StorageTool", "format", "-t", "Y2x1c3RlcmxpdGUtbmV0bg", "-c", config)
		if out, err := exec.Command(format, args...).CombinedOutput(); err != nil {
			c.t.Fatalf("format the folder of broker %d, with Apache Kafka in %s: %v\n%s", i, libs, err, out)
		}
		p.Start()
		c.Kafkas = append(c.Kafkas, p)
		brokers = append(brokers, c.hosts[p].Addr+":9092")
		observed = append(observed, c.hosts[p].Observed+":9094")
	}
	c.Brokers, c.Observed = strings.Join(brokers, ","), strings.Join(observed, ",")
	for i, address := range observed {
		for end := time.Now().Add(readyWithin); ; time.Sleep(100 * time.Millisecond) {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				_ = conn.Close()
				break
			}
			if time.Now().After(end) || c.Kafkas[i].Exited() {
				c.t.Fatalf("broker %d does not serve: %v", i+1, err)
			}
		}
	}
}

// brokerProperties configures two listeners for a broker. Each advertises its own address:
// hosts of the network use the switch, and the test observes from outside, even during a split.
// A missing broker is detected after three seconds.
func brokerProperties(i int, h *Host, dir, voters string) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
controller.quorum.voters=%[5]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://%[2]s:9092,CONTROLLER://%[2]s:9093,OBSERVER://%[3]s:9094
advertised.listeners=PLAINTEXT://%[2]s:9092,OBSERVER://%[3]s:9094
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OBSERVER:PLAINTEXT
log.dirs=%[4]s/%[1]d
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
`, i, h.Addr, h.Observed, dir, voters)
}
