package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const ownClusterName = "ClusterLite, 2 command and 2 query services"

// cluster is two command services and two query services behind Nginx with the shipped
// nginx.conf, on three brokers of Apache Kafka. The variables CLUSTERLITE_KAFKA_SH and
// CLUSTERLITE_KAFKA_LIBS define how brokers are started, as in the end-to-end tests.
type cluster struct {
	command, query string
	url            string
}

// clusterMissing describes what this machine lacks for a cluster; empty if nothing.
func clusterMissing() string {
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

func (b *bench) newCluster(ctx context.Context) (*cluster, error) {
	command, err := b.ownProgram(ctx, "./commands/cmd/clusterlite-command")
	if err != nil {
		return nil, err
	}
	query, err := b.ownProgram(ctx, "./queryapi/cmd/clusterlite-query")
	return &cluster{command: command, query: query}, err
}

func (*cluster) name() string { return ownClusterName }

func (s *cluster) base() string { return s.url }

func (*cluster) fill(_ context.Context, entities int) error {
	if entities > 0 {
		return errors.New("a cluster is measured with an empty store")
	}
	return nil
}

func (*cluster) load(w workload) (load, bool) { return (&clusterLite{}).load(w) }

func (s *cluster) start(ctx context.Context, dir string) (running, error) {
	var all fleet
	k, brokers, err := startKafka(ctx, filepath.Join(dir, "kafka"), 3)
	if err != nil {
		return nil, err
	}
	all = append(all, k)
	urls := map[string][]string{}
	for _, role := range []string{"command", "command", "query", "query"} {
		name := fmt.Sprintf("%s-%d", role, len(urls[role])+1)
		program := map[string]string{"command": s.command, "query": s.query}[role]
		p, url, _, err := startService(ctx, filepath.Join(dir, name), program, name, brokers)
		if err != nil {
			all.stop()
			return nil, err
		}
		all, urls[role] = append(all, p), append(urls[role], url)
	}
	p, url, err := startNginx(ctx, filepath.Join(dir, "nginx"), urls["query"], urls["command"])
	if err != nil {
		all.stop()
		return nil, err
	}
	s.url = url
	return append(all, p), nil
}

// kafkaBrokers are the brokers that the script has started.
type kafkaBrokers struct {
	script, dir string
	brokers     int
}

func startKafka(ctx context.Context, dir string, brokers int) (*kafkaBrokers, string, error) {
	k := &kafkaBrokers{os.Getenv("CLUSTERLITE_KAFKA_SH"), dir, brokers}
	libs := os.Getenv("CLUSTERLITE_KAFKA_LIBS")
	if libs == "" {
		libs = "/opt/kafka/libs"
	}
	base, err := consecutivePorts(brokers)
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, "", err
	}
	// The output goes to a file, because the brokers that the script starts keep it open.
	out, err := os.Create(filepath.Join(dir, "start.out"))
	if err != nil {
		return nil, "", err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "bash", k.script, "start", libs, dir, strconv.Itoa(brokers), strconv.Itoa(base))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		k.stop()
		said, _ := os.ReadFile(out.Name())
		return nil, "", fmt.Errorf("start Kafka: %w\n%s", err, said)
	}
	var list []string
	for i := range brokers {
		list = append(list, fmt.Sprintf("127.0.0.1:%d", base+i))
	}
	return k, strings.Join(list, ","), nil
}

func (k *kafkaBrokers) pids() (all []int) {
	for i := range k.brokers {
		b, err := os.ReadFile(filepath.Join(k.dir, fmt.Sprintf("%d.pid", i+1)))
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// stop kills the brokers and waits until they have ended. Their data is not needed again.
func (k *kafkaBrokers) stop() {
	for _, pid := range k.pids() {
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		_ = p.Kill() // it may have ended
		awaitExit(pid)
	}
}

// consecutivePorts finds consecutive free ports for n brokers and, a thousand above them, for
// their controllers.
func consecutivePorts(n int) (int, error) {
next:
	for range 100 {
		base := 20000 + rand.IntN(8000) //nolint:gosec // no secret
		for i := range n {
			for _, port := range []int{base + i, base + 1000 + i} {
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err != nil {
					continue next
				}
				_ = l.Close()
			}
		}
		return base, nil
	}
	return 0, errors.New("no free ports for Kafka")
}

// startNginx runs the shipped nginx.conf in front of the services at these URLs.
func startNginx(ctx context.Context, dir string, queries, commands []string) (*process, string, error) {
	listen, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	shipped, err := os.ReadFile("../nginx.conf")
	if err != nil {
		return nil, "", err
	}
	conf, err := siteConf(string(shipped), dir, listen, queries, commands)
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, "", err
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, "", err
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return nil, "", err
	}
	p, err := launch(ctx, dir, "http://"+listen+"/openapi.json", nil, nginx, "-p", dir, "-c", path, "-g", "daemon off; master_process off;")
	return p, "http://" + listen, err
}

// siteConf returns the shipped nginx.conf with its site lines replaced.
func siteConf(conf, dir, listen string, queries, commands []string) (string, error) {
	servers := func(urls []string) string {
		var lines []string
		for _, url := range urls {
			lines = append(lines, "server "+strings.TrimPrefix(url, "http://")+"${2};")
		}
		return strings.Join(lines, " ")
	}
	for pattern, with := range map[string]string{
		`user nginx;`:                         ``,
		`pid [^;]*;`:                          `pid ` + dir + `/pid;`,
		`error_log [^;]*;`:                    `error_log stderr warn;`,
		`access_log [^;]*;`:                   `access_log ` + dir + `/access.log json; client_body_temp_path ` + dir + `; proxy_temp_path ` + dir + `; fastcgi_temp_path ` + dir + `; uwsgi_temp_path ` + dir + `; scgi_temp_path ` + dir + `;`,
		`resolver [^;]*;`:                     ``,
		`listen 80;`:                          `listen ` + listen + `;`,
		`server query:8082 resolve([^;]*);`:   servers(queries),
		`server command:8081 resolve([^;]*);`: servers(commands),
	} {
		line := regexp.MustCompile(`(?m)^(\s*)` + pattern + ` # \(site\)$`)
		if !line.MatchString(conf) {
			return "", fmt.Errorf("nginx.conf has no site line like %s", pattern)
		}
		conf = line.ReplaceAllString(conf, "${1}"+with)
	}
	return conf, nil
}
