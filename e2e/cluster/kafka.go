package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic is the log's name, unless a setting says otherwise.
const Topic = "clusterlite.events"

// Kafka is a cluster of Apache Kafka on this host.
type Kafka struct {
	// Bootstrap lists the addresses of the brokers.
	Bootstrap string
	Ports     []int

	t                 testing.TB
	script, libs, dir string
}

// startKafka starts n brokers with the script in CLUSTERLITE_KAFKA_SH and the jars in
// CLUSTERLITE_KAFKA_LIBS (default /opt/kafka/libs).
func startKafka(t testing.TB, n int) *Kafka {
	t.Helper()
	k := &Kafka{t: t, script: os.Getenv("CLUSTERLITE_KAFKA_SH"), libs: os.Getenv("CLUSTERLITE_KAFKA_LIBS"), dir: t.TempDir()}
	if k.libs == "" {
		k.libs = "/opt/kafka/libs"
	}
	if k.script == "" {
		t.Fatal("this test needs Apache Kafka: CLUSTERLITE_KAFKA_SH must name a script that starts brokers, see e2e/README.md")
	}
	base := consecutivePorts(t, n)
	for i := range n {
		k.Ports = append(k.Ports, base+i)
	}
	t.Cleanup(k.stop)
	// The output goes to a file, because the brokers that the script starts keep it open.
	out, err := os.Create(filepath.Join(k.dir, "start.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command("bash", k.script, "start", k.libs, k.dir, strconv.Itoa(n), strconv.Itoa(base))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		b, _ := os.ReadFile(out.Name())
		t.Fatalf("start Kafka: %v\n%s", err, b)
	}
	var list []string
	for _, p := range k.Ports {
		list = append(list, fmt.Sprintf("127.0.0.1:%d", p))
	}
	k.Bootstrap = strings.Join(list, ",")
	return k
}

// consecutivePorts finds n free consecutive ports for brokers and, a thousand above them,
// for their controllers.
func consecutivePorts(t testing.TB, n int) int {
	t.Helper()
next:
	for range 100 {
		base := 20000 + rand.IntN(8000)
		for i := range n {
			for _, port := range []int{base + i, base + 1000 + i} {
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					continue next
				}
				_ = l.Close()
			}
		}
		return base
	}
	t.Fatal("found no consecutive free ports for Kafka")
	return 0
}

func (k *Kafka) pid(i int) int {
	b, err := os.ReadFile(filepath.Join(k.dir, fmt.Sprintf("%d.pid", i)))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// Kill kills broker i, counted from 1, and waits until its process has ended.
func (k *Kafka) Kill(i int) {
	k.t.Helper()
	pid := k.pid(i)
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	for end := time.Now().Add(30 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Errorf("broker %d is still running after SIGKILL", i)
			return
		}
	}
}

// Stop asks broker i to stop, as an upgrade does, and waits until its process has ended.
func (k *Kafka) Stop(i int) {
	k.t.Helper()
	pid := k.pid(i)
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended
	for end := time.Now().Add(2 * time.Minute); syscall.Kill(pid, 0) == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Errorf("broker %d is still running two minutes after SIGTERM", i)
			return
		}
	}
}

// AwaitInSync waits until every broker has an in-sync replica of the topic.
func (k *Kafka) AwaitInSync(topic string) {
	k.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(k.Bootstrap, ",")...))
	if err != nil {
		k.t.Fatal(err)
	}
	defer client.Close()
	var got string
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		request := kmsg.NewPtrMetadataRequest()
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &topic
		request.Topics = append(request.Topics, asked)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		response, err := request.RequestWith(ctx, client)
		cancel()
		if err == nil && len(response.Topics) == 1 && len(response.Topics[0].Partitions) == 1 && len(response.Topics[0].Partitions[0].ISR) == len(k.Ports) {
			return
		}
		got = fmt.Sprint(err)
		if err == nil && len(response.Topics) == 1 && len(response.Topics[0].Partitions) == 1 {
			got = fmt.Sprint("the replicas ", response.Topics[0].Partitions[0].ISR)
		}
	}
	k.t.Errorf("got %s in sync after two minutes, want one of each of %d brokers", got, len(k.Ports))
}

// Start starts broker i again after Kill or Stop, and waits until it serves.
func (k *Kafka) Start(i int) {
	k.t.Helper()
	out, err := os.Create(filepath.Join(k.dir, "start-one.out"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command("bash", k.script, "start-one", k.libs, k.dir, strconv.Itoa(i))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		k.t.Fatalf("start broker %d: %v", i, err)
	}
}

// Leader returns the number of the broker that leads the log, counted from 1.
func (k *Kafka) Leader() int {
	k.t.Helper()
	return leader(k.t, strings.Split(k.Bootstrap, ","))
}

// leader waits until the log has a leader, and returns its number.
func leader(t testing.TB, brokers []string) int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(Topic), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for end := time.Now().Add(readyWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		client.ForceMetadataRefresh()
		if leader, _, err := client.PartitionLeader(Topic, 0); err == nil && leader > 0 {
			return int(leader)
		}
	}
	t.Fatal("no broker leads the log")
	return 0
}

func (k *Kafka) stop() {
	for i := range k.Ports {
		k.Kill(i + 1)
	}
}
