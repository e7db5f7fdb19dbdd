// Package compose_test runs the shipped Compose file without changes.
package compose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/feed"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// A project is a Compose project that is isolated from others.
type project struct {
	t    testing.TB
	name string
	port int
}

// version is the version that the images are built with.
const version = "v0.0.0-e2e"

func (p *project) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = cluster.Root(p.t)
	cmd.Env = append(os.Environ(), fmt.Sprintf("CLUSTERLITE_PORT=%d", p.port), "CLUSTERLITE_VERSION="+version)
	return cmd
}

func (p *project) run(name string, args ...string) string {
	p.t.Helper()
	var stderr bytes.Buffer
	cmd := p.command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func (p *project) compose(args ...string) string {
	p.t.Helper()
	return p.run("docker", append([]string{"compose", "-p", p.name}, args...)...)
}

// containers returns the ids of a service's running containers.
func (p *project) containers(service string) []string {
	p.t.Helper()
	return strings.Fields(p.compose("ps", "-q", "--status", "running", service))
}

func up(t *testing.T) *project {
	t.Helper()
	if os.Getenv("CLUSTERLITE_E2E_COMPOSE") == "" {
		t.Skip("CLUSTERLITE_E2E_COMPOSE is not set: it needs a Docker engine with Compose v2")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p := &project{t: t, name: fmt.Sprintf("clusterlite-e2e-%d", os.Getpid()), port: port}
	t.Cleanup(func() {
		if t.Failed() {
			p.logFailure()
		}
		if err := p.down("-v"); err != nil {
			t.Error(err)
		}
		if left := p.volumes("com.docker.compose.project=" + p.name); len(left) > 0 {
			t.Errorf("got the volumes %v after down -v, want none", left)
		}
	})
	start := time.Now()
	p.compose("build", "--quiet", "tool")
	p.compose("up", "--build", "-d", "--wait", "--wait-timeout", "240", "--scale", "query=5")
	t.Logf("built and up in %s", time.Since(start).Round(time.Second))
	return p
}

// down removes the containers and the network of the project. Sometimes Docker 20.10 keeps an endpoint of a
// container that no longer exists, and then can't remove the network before the engine is restarted
// (https://github.com/moby/moby/issues/43286). Nothing of the project depends on that, so down only logs it if
// no container is left.
func (p *project) down(args ...string) error {
	args = append([]string{"compose", "-p", p.name, "down", "--timeout", "20"}, args...)
	out, err := p.command("docker", args...).CombinedOutput()
	if err == nil {
		return nil
	}
	left := p.run("docker", "ps", "-aq", "--filter", "label=com.docker.compose.project="+p.name)
	if left == "" && bytes.Contains(out, []byte("has active endpoints")) {
		p.t.Logf("Docker can't remove the network of %s, although no container is left:\n%s", p.name, out)
		return nil
	}
	return fmt.Errorf("docker compose down: %w\n%s", err, out)
}

// logFailure logs the output of nginx and the last lines of the services.
func (p *project) logFailure() {
	p.logNginx(func(line string) bool { return !strings.HasPrefix(line, "{") })
	out, _ := p.command("docker", "compose", "-p", p.name, "logs", "--tail", "30", "command", "query").CombinedOutput()
	p.t.Logf("%s", out)
}

// logNginx logs the first sixty matching lines of nginx. A line of JSON describes a request,
// with the services that nginx tried and their answers.
func (p *project) logNginx(wanted func(line string) bool) {
	out, _ := p.command("docker", "compose", "-p", p.name, "logs", "--no-color", "--no-log-prefix", "nginx").CombinedOutput()
	shown := 0
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(strings.TrimPrefix(line, "\x1b[2K")); wanted(line) && shown < 60 {
			p.t.Log(line)
			shown++
		}
	}
}

func TestCompose(t *testing.T) {
	p := up(t)
	url := fmt.Sprintf("http://127.0.0.1:%d", p.port)
	if n := len(p.containers("query")); n != 5 {
		t.Fatalf("got %d query containers, want 5", n)
	}
	clients := startClients(p, url)
	t.Cleanup(clients.end)
	unnamed := p.volumes(anonymous)
	t.Run("suite", func(t *testing.T) { suite.Run(t, suite.Target{URL: url}) })
	t.Run("feed", func(t *testing.T) { feed.Run(t, suite.Target{URL: url}) })
	t.Run("published client of the feed", func(t *testing.T) { feed.PublishedClient(t, url) })
	t.Run("containers are added", func(t *testing.T) {
		p.compose("up", "-d", "--no-build", "--no-recreate", "--wait", "--scale", "query=7")
		clients.progress(200)
	})
	t.Run("snapshots are created on a schedule", func(*testing.T) { createsSnapshots(p) })
	t.Run("the tool inspects the cluster", func(*testing.T) { toolInspects(p, 2+7) })
	t.Run("the nodes require their token", func(*testing.T) { needsToken(p) })
	killed := p.containers("query")[:2]
	t.Run("containers are killed", func(t *testing.T) {
		for _, id := range killed {
			p.run("docker", "kill", id)
			clients.progress(200)
		}
	})
	t.Run("the tool forgets the dead", func(*testing.T) { forgetsTheDead(p, killed) })
	t.Run("a restart keeps the file", func(t *testing.T) { keepsFile(t, p) })
	t.Run("containers are removed", func(t *testing.T) {
		p.compose("up", "-d", "--no-build", "--no-recreate", "--wait", "--scale", "query=3")
		clients.progress(200)
	})
	clients.end()
	t.Run("all services are restarted", func(t *testing.T) { restartsAll(t, p, url) })
	t.Run("down and up keep the files", func(t *testing.T) { keepsVolumes(t, p, unnamed) })
}

// keepsFile restarts a query container and waits until it is ready. The container must continue
// from its own file. In the next step Compose keeps the oldest containers, dead or not, and
// stops the others at once. This container is then the only one that can answer.
func keepsFile(t *testing.T, p *project) {
	id := p.containers("query")[0]
	p.run("docker", "restart", id)
	p.awaitHealthy(id)
	var positions []int64
	for _, l := range p.lines(id) {
		if l.Msg == "listening" {
			positions = append(positions, l.Position)
		}
	}
	if len(positions) != 2 || positions[0] != 0 || positions[1] == 0 {
		t.Errorf("got the start positions %v, want 0 and then a later one", positions)
	}
}

// A line is a line of a service's log.
type line struct {
	Msg, Node string
	Position  int64
}

// lines returns the lines that a container has logged.
func (p *project) lines(id string) (lines []line) {
	p.t.Helper()
	out, err := p.command("docker", "logs", id).CombinedOutput()
	if err != nil {
		p.t.Fatalf("logs of %s: %v\n%s", id, err, out)
	}
	for text := range strings.Lines(string(out)) {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil {
			lines = append(lines, l)
		}
	}
	return lines
}

// node returns the name of the node that a container ran last. It depends on the folder that
// was free when the container started.
func (p *project) node(id string) (name string) {
	p.t.Helper()
	for _, l := range p.lines(id) {
		if l.Node != "" {
			name = l.Node
		}
	}
	if name == "" {
		p.t.Fatalf("container %s: got no node name in its log", id)
	}
	return name
}

// volumes returns the volumes that carry a label.
func (p *project) volumes(label string) []string {
	p.t.Helper()
	return strings.Fields(p.run("docker", "volume", "ls", "-q", "--filter", "label="+label))
}

const anonymous = "com.docker.volume.anonymous"

// keepsVolumes removes all containers and creates new ones, which must continue as the same
// nodes from the same files. No volume may be left behind.
func keepsVolumes(t *testing.T, p *project, before []string) {
	named, nodes := p.volumes("com.docker.compose.project="+p.name), p.nodes()
	if err := p.down(); err != nil {
		t.Fatal(err)
	}
	p.compose("up", "-d", "--no-build", "--wait", "--wait-timeout", "240")
	if got := p.volumes("com.docker.compose.project=" + p.name); !slices.Equal(got, named) {
		t.Errorf("got volumes %v, want those of before, %v", got, named)
	}
	if got := p.volumes(anonymous); len(got) != len(before) {
		t.Errorf("got %d volumes without a name, want the %d of the start", len(got), len(before))
	}
	if got := p.nodes(); !slices.Equal(got, nodes) {
		t.Errorf("got nodes %v, want those of before, %v", got, nodes)
	}
	for _, service := range []string{"command", "query"} {
		for _, id := range p.containers(service) {
			for _, l := range p.lines(id) {
				if l.Msg == "listening" && l.Position == 0 {
					t.Errorf("node %s: got a start from an empty file, want one from its own file", l.Node)
				}
			}
		}
	}
	p.well("status")
}

// restartsAll restarts all services at once, including the broker. After the first successful
// read, all reads succeed without a gap. While the broker is down, nodes answer from their own
// state. Once they have caught up, reads are strong again.
func restartsAll(t *testing.T, p *project, url string) {
	const observed = 30 * time.Second // more than twice as long as the broker takes to start
	p.compose("restart", "command", "query", "nginx", "kafka")
	began := time.Now()
	read := func() (suite.Response, error) { return suite.Send("GET", url+"/users?limit=1", "") }
	for {
		r, err := read()
		if err == nil && r.Status == 200 {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("got no successful read: status %d, %v, want 200: %s", r.Status, err, r.Body)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("the first read was answered after %s", time.Since(began).Round(10*time.Millisecond))
	var reads, strong, refused atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for time.Since(began) < observed {
				r, err := read()
				if reads.Add(1); err != nil || r.Status != 200 {
					if refused.Add(1) <= 5 {
						t.Errorf("after %s: got status %d, %v, want 200: %s", time.Since(began).Round(10*time.Millisecond), r.Status, err, r.Body)
					}
				} else if r.Header.Get("Clusterlite-Consistency") == "strong" {
					strong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d reads, %d of them strong, %d refused", reads.Load(), strong.Load(), refused.Load())
	if strong.Load() == 0 {
		t.Error("got no strong read, want at least one: the broker is not back")
	}
}

// nodes returns the names of the running nodes, sorted.
func (p *project) nodes() (names []string) {
	p.t.Helper()
	for _, service := range []string{"command", "query"} {
		for _, id := range p.containers(service) {
			names = append(names, p.node(id))
		}
	}
	slices.Sort(names)
	return names
}

// awaitHealthy waits until a container's health check succeeds.
func (p *project) awaitHealthy(id string) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		health := p.run("docker", "inspect", "--format", "{{.State.Health.Status}}", id)
		if health == "healthy" {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s: got health %s, want healthy", id, health)
		}
	}
}

// clients create entities and read them at once. They must see no error, whatever happens to
// the query containers.
type clients struct {
	*project
	rounds atomic.Int64
	slow   atomic.Int64 // rounds in which the broker was slow
	stop   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	missed []string // the ids of requests that went wrong
}

func startClients(p *project, url string) *clients {
	c := &clients{project: p, stop: make(chan struct{})}
	for range 4 {
		c.wg.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				default:
					c.round(url)
				}
			}
		})
	}
	return c
}

func (c *clients) round(url string) {
	r, err := suite.Send("POST", url+"/users", suite.UserBody("Ada", suite.Email()))
	if err != nil || r.Status != 201 {
		c.miss("create", r, err)
		return
	}
	path := r.Header.Get("Location")
	got, err := suite.Send("GET", url+path, "")
	if err == nil && got.Header.Get("Clusterlite-Consistency") == "eventual" {
		// The broker took more than a second to answer on a busy machine, so the read reports a
		// weaker consistency. Reads that demand strong consistency get it.
		c.slow.Add(1)
		got, err = c.strong(url + path)
	}
	if err != nil || got.Status != 200 || !bytes.Equal(got.Body, r.Body) || got.Header.Get("Clusterlite-Consistency") != "strong" {
		c.miss("read", got, err)
	}
	c.rounds.Add(1)
}

// strong sends a read that demands strong consistency, repeatedly while the broker is
// unreachable.
func (c *clients) strong(url string) (got suite.Response, err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		got, err = suite.Send("GET", url, "", "Clusterlite-Consistency: strong")
		if err != nil || !bytes.Contains(got.Body, []byte("/broker-unreachable")) {
			break
		}
	}
	return got, err
}

// miss records a request whose answer a client does not expect.
func (c *clients) miss(what string, got suite.Response, err error) {
	id := got.Header.Get("X-Request-Id")
	c.t.Errorf("%s: %s %s: got %d %s, %v: %s", time.Now().Format(time.TimeOnly), what, id, got.Status, got.Header.Get("Clusterlite-Consistency"), err, got.Body)
	if id != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.missed = append(c.missed, id)
	}
}

// progress waits until the clients have completed n more rounds.
func (c *clients) progress(n int64) {
	c.t.Helper()
	from := c.rounds.Load()
	for end := time.Now().Add(time.Minute); c.rounds.Load() < from+n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatal("the clients make no progress")
		}
	}
}

// end stops the clients, and logs how nginx handled the requests that failed. It may be called
// more than once.
func (c *clients) end() {
	select {
	case <-c.stop:
		return
	default:
	}
	close(c.stop)
	c.wg.Wait()
	c.t.Logf("%d rounds of create and read, in %d of them the broker took too long for a strong read at once", c.rounds.Load(), c.slow.Load())
	if len(c.missed) > 0 {
		c.logNginx(func(line string) bool {
			return slices.ContainsFunc(c.missed, func(id string) bool { return strings.Contains(line, id) })
		})
	}
}

// config is the configuration that Compose derives from the files.
type config struct {
	Services map[string]struct {
		Image         string
		Command       []string
		ContainerName string `json:"container_name"`
		Environment   map[string]string
		Ports         []any
		Volumes       []struct {
			Type, Source string
			ReadOnly     bool `json:"read_only"`
		}
		Deploy struct {
			Resources struct{ Limits struct{ Memory string } }
		}
	}
}

// needsCompose skips the test if Compose is not requested.
func needsCompose(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("docker"); err != nil || os.Getenv("CLUSTERLITE_E2E_COMPOSE") == "" {
		t.Skip("CLUSTERLITE_E2E_COMPOSE is not set: it needs Compose v2")
	}
}

func read(t *testing.T, files ...string) (c config) {
	t.Helper()
	needsCompose(t)
	args := []string{"compose"}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	p := &project{t: t, port: 80}
	if err := json.Unmarshal([]byte(p.run("docker", append(args, "config", "--format", "json")...)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Nothing prevents --scale, and only Nginx is reachable.
func TestFilesScale(t *testing.T) {
	c := read(t, "docker-compose.yml")
	for name, s := range c.Services {
		if s.ContainerName != "" {
			t.Errorf("%s: got a container name, want none", name)
		}
		if (len(s.Ports) > 0) != (name == "nginx") {
			t.Errorf("%s: got the published ports %v, want some for nginx only", name, s.Ports)
		}
		for _, v := range s.Volumes {
			shares := slices.Contains([]string{"query", "command"}, name) && !v.ReadOnly
			if shares && (v.Source != name+"-data" || s.Environment["CLUSTERLITE_DATA_SLOTS"] != "true") {
				t.Errorf("the containers of %s share %v: want the service's own volume, divided into slots", name, v)
			}
		}
	}
}

// Each service that runs on has a memory limit, from which the process derives its own.
func TestServicesHaveMemoryLimits(t *testing.T) {
	c := read(t, "docker-compose.yml")
	for _, name := range []string{"kafka", "command", "query", "nginx"} {
		if c.Services[name].Deploy.Resources.Limits.Memory == "" {
			t.Errorf("%s: got no memory limit", name)
		}
	}
}

// Without variables, the images are those of a checkout. Two variables select published images.
func TestImageNames(t *testing.T) {
	needsCompose(t)
	for prefix, want := range map[string]string{"": "clusterlite-", "registry.example.com/clusterlite-": "registry.example.com/clusterlite-"} {
		t.Setenv("CLUSTERLITE_IMAGE_PREFIX", prefix)
		p := &project{t: t, port: 80} // run passes version as the version
		images := strings.Fields(p.run("docker", "compose", "--profile", "tool", "config", "--images"))
		for _, service := range []string{"command", "query", "tool"} {
			if name := want + service + ":" + version; !slices.Contains(images, name) {
				t.Errorf("prefix %q: got the images %v, want %s among them", prefix, images, name)
			}
		}
	}
}

// Settings for callers and their limits reach both services from the environment of Compose.
func TestSettingsOfCallersReachTheServices(t *testing.T) {
	needsCompose(t)
	for name, value := range map[string]string{
		"CLUSTERLITE_AUTH_KEYS": "true", "CLUSTERLITE_AUTH_JWKS": "https://login.example.com/keys", "CLUSTERLITE_AUTH_ISSUER": "https://login.example.com",
		"CLUSTERLITE_AUTH_AUDIENCE": "store", "CLUSTERLITE_AUTH_ROLES_CLAIM": "scope", "CLUSTERLITE_RATE_LIMIT_ANONYMOUS": "10/s",
		"CLUSTERLITE_RATE_LIMIT_CALLER": "100/s", "CLUSTERLITE_RATE_LIMIT_ROLES": "importer=off", "CLUSTERLITE_TRUSTED_PROXIES": "10.89.0.2",
	} {
		t.Setenv(name, value)
		services := read(t, "docker-compose.yml").Services
		for _, service := range []string{"command", "query"} {
			if got := services[service].Environment[name]; got != value {
				t.Errorf("%s: got %s=%q, want %q", service, name, got, value)
			}
		}
	}
}

// The override file of the guide to rate limits gives Nginx the address that it names.
func TestNginxHasTheAddressOfTheGuide(t *testing.T) {
	needsCompose(t)
	page, err := os.ReadFile(filepath.Join(cluster.Root(t), "docs", "how-to", "limit-request-rates.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "<!-- compose.override -->\n```yaml\n")
	block, _, found := strings.Cut(block, "```")
	path := filepath.Join(t.TempDir(), "override.yml")
	if err := os.WriteFile(path, []byte(block), 0o600); err != nil || !found {
		t.Fatalf("got %v, found %t, want the block", err, found)
	}
	p := &project{t: t, port: 80}
	got := p.run("docker", "compose", "-f", "docker-compose.yml", "-f", path, "config", "--format", "json")
	if !strings.Contains(got, `"ipv4_address": "10.89.0.2"`) || !strings.Contains(got, `"subnet": "10.89.0.0/24"`) {
		t.Errorf("got %s, want the fixed address", got)
	}
}

func TestRedpandaOverride(t *testing.T) {
	kafka := read(t, "docker-compose.yml", "docker-compose.redpanda.yml").Services["kafka"]
	if !strings.HasPrefix(kafka.Image, "redpandadata/redpanda:") || len(kafka.Environment) > 0 || len(kafka.Command) < 3 || kafka.Command[1] != "start" {
		t.Errorf("got %+v, want Redpanda without Kafka's environment", kafka)
	}
	for _, v := range kafka.Volumes {
		if v.Source != "redpanda-data" {
			t.Errorf("got the volume %+v, want redpanda-data", v)
		}
	}
}
