package subjects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
)

// ClusterName is the name of a cluster of ClusterLite in the report.
const ClusterName = "ClusterLite, 2 command and 2 query services"

// cluster is two command services and two query services behind Nginx with the shipped
// nginx.conf, on three brokers of Apache Kafka. The variables CLUSTERLITE_KAFKA_SH and
// CLUSTERLITE_KAFKA_LIBS define how brokers are started, as in the end-to-end tests.
type cluster struct {
	command, query string
	url            string
}

// ClusterMissing describes what this machine lacks for a cluster; empty if nothing.
func ClusterMissing() string {
	var lacks []string
	if os.Getenv("CLUSTERLITE_KAFKA_SH") == "" {
		lacks = append(lacks, "a script that starts Apache Kafka in CLUSTERLITE_KAFKA_SH, see e2e/README.md")
	}
	for _, program := range []string{"nginx", "java"} {
		if _, err := exec.LookPath(program); err != nil {
			lacks = append(lacks, program)
		}
	}
	if len(lacks) == 0 {
		return ""
	}
	return "not measured: this machine lacks " + strings.Join(lacks, ", ")
}

func newCluster(ctx context.Context, programs *process.Programs) (*cluster, error) {
	command, err := programs.Own(ctx, "./commands/cmd/clusterlite-command")
	if err != nil {
		return nil, err
	}
	query, err := programs.Own(ctx, "./queryapi/cmd/clusterlite-query")
	return &cluster{command: command, query: query}, err
}

func (*cluster) Name() string { return ClusterName }

func (s *cluster) URL() string { return s.url }

func (*cluster) Fill(_ context.Context, entities int) error {
	if entities > 0 {
		return errors.New("a cluster is measured with an empty store")
	}
	return nil
}

func (*cluster) Requests(w load.Workload) (load.Requests, bool) { return (&ClusterLite{}).Requests(w) }

// Start starts three brokers and loads them for a while. Then it starts nodes with an empty store on them.
func (s *cluster) Start(ctx context.Context, dir string) (process.Running, error) {
	k, brokers, err := startKafka(ctx, filepath.Join(dir, "kafka"), 3)
	if err != nil {
		return nil, err
	}
	if err := s.warmUp(ctx, filepath.Join(dir, "warm-up"), brokers); err != nil {
		k.Stop()
		return nil, err
	}
	nodes, err := s.startNodes(ctx, dir, brokers, "measured")
	if err != nil {
		k.Stop()
		return nil, err
	}
	return append(process.Fleet{k}, nodes...), nil // the brokers stop last
}

// brokersWarmUp is how long the brokers are loaded before the nodes start that are measured. The
// virtual machines of Apache Kafka compile themselves meanwhile. In one measurement the three brokers
// used 1,060 us for a write in the first 25 seconds, 190 to 500 us after a minute, and 85 to 110 us
// after ten minutes with pauses.
const brokersWarmUp = 4 * time.Minute

// warmUp loads the brokers through nodes with a topic of their own.
func (s *cluster) warmUp(ctx context.Context, dir, brokers string) error {
	nodes, err := s.startNodes(ctx, dir, brokers, "warm-up")
	if err != nil {
		return err
	}
	defer nodes.Stop()
	requests, _ := s.Requests(load.Create)
	_, err = load.RunWrk(ctx, dir, s.url, requests, 64, brokersWarmUp, 0)
	return err
}

// startNodes starts two command services, two query services, and Nginx in front of them.
func (s *cluster) startNodes(ctx context.Context, dir, brokers, topic string) (process.Fleet, error) {
	var all process.Fleet
	urls := map[string][]string{}
	for _, role := range []string{"command", "command", "query", "query"} {
		name := fmt.Sprintf("%s-%d", role, len(urls[role])+1)
		program := map[string]string{"command": s.command, "query": s.query}[role]
		p, url, _, err := startService(ctx, filepath.Join(dir, name), program, name, brokers, "CLUSTERLITE_KAFKA_TOPIC="+topic)
		if err != nil {
			all.Stop()
			return nil, err
		}
		all, urls[role] = append(all, p), append(urls[role], url)
	}
	p, url, err := startNginx(ctx, filepath.Join(dir, "nginx"), urls["query"], urls["command"])
	if err != nil {
		all.Stop()
		return nil, err
	}
	s.url = url
	return append(all, p), nil
}
