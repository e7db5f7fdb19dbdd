package kubernetes_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

const namespace = "clusterlite"

// TestKubernetes runs the blocks of docs/how-to/run-on-kubernetes.md: it installs the chart, changes a
// setting, upgrades, and drains a node, all under load, and then does the same with the kustomize base.
func TestKubernetes(t *testing.T) {
	programs := os.Getenv("CLUSTERLITE_E2E_KUBERNETES")
	if programs == "" {
		t.Skip("CLUSTERLITE_E2E_KUBERNETES does not name a folder with the programs of Kubernetes: make kubernetes-cluster builds them")
	}
	var images []string
	for _, name := range []string{"command", "query", "tool"} {
		images = append(images, "registry.example.com/clusterlite-"+name+":v1.0.0", "registry.example.com/clusterlite-"+name+":v1.1.0")
	}
	k := start(t, programs, images)
	k.startBroker()
	g, dir := k.guide()

	k.createNamespace()
	g.Run(t, dir, "helm install", k.env()...)
	k.spread()
	url := k.url("clusterlite")
	k.eventually("Nginx reaches the services", 2*time.Minute, func() bool { return exec.Command("curl", "-fsS", "-o", "/dev/null", url+"/users").Run() == nil })

	l := startLoad(t, url)
	values := filepath.Join(dir, "values.yaml")
	k.write(values, k.values()+"settings: { CLUSTERLITE_READ_WAIT: 3s }\n")
	before := k.images("command")
	g.Run(t, dir, "rollout status deployment/clusterlite-command", k.env()...)
	if after := k.images("command"); slices.Equal(names(before), names(after)) {
		t.Errorf("got the command pods %v after a change of a setting, want others", names(after))
	}
	l.end(t, "a changed setting")

	l = startLoad(t, url)
	order := k.watch()
	g.Run(t, dir, "command.tag", k.env()...)
	k.command("kubectl", "-n", namespace, "rollout", "status", "deployment/clusterlite-command", "--timeout=300s")
	order.queryFirst(t)
	l.end(t, "an upgrade")

	l = startLoad(t, url)
	g.Run(t, dir, "kubectl drain", k.env()...)
	k.command("kubectl", "-n", namespace, "rollout", "status", "statefulset/clusterlite-query", "--timeout=300s")
	l.end(t, "a drained node")
	k.command("helm", "uninstall", "clusterlite", "-n", namespace, "--wait")
	k.command("kubectl", "delete", "namespace", namespace)

	k.createNamespace()
	g.Run(t, dir, "apply -k", k.env()...)
	g.Run(t, dir, "rollout restart", k.env()...)
	k.command("kubectl", "-n", namespace, "rollout", "status", "statefulset/query", "--timeout=300s")
	k.command("kubectl", "-n", namespace, "rollout", "status", "deployment/command", "--timeout=300s")
	if out := g.Run(t, dir, "tool.yaml", k.env()...); !strings.Contains(out, "query-2") || !strings.Contains(out, "ready") {
		t.Errorf("got\n%s\nwant the state of the nodes", out)
	}
	g.Run(t, dir, "--dry-run=client", k.env()...)
	g.Complete(t)
}

// guide reads the page, and copies the files that its commands use, with the values of this cluster.
func (k *kubernetes) guide() (g *cluster.Guide, dir string) {
	k.t.Helper()
	dir = k.t.TempDir()
	k.command("cp", "-a", filepath.Join(cluster.Root(k.t), "deploy"), dir)
	k.write(filepath.Join(dir, "values.yaml"), k.values())
	overlay := filepath.Join(dir, "deploy/kubernetes/overlays/example/kustomization.yaml")
	text, err := os.ReadFile(overlay)
	if err != nil {
		k.t.Fatal(err)
	}
	edited := regexp.MustCompile("BROKERS: .*").ReplaceAllString(string(text), "BROKERS: "+k.brokers())
	name, tag, _ := strings.Cut(nginxImage, ":")
	edited = strings.Replace(edited, "images:\n", fmt.Sprintf("images:\n  - { name: nginx, newName: %s, newTag: \"%s\" }\n", name, tag), 1)
	k.write(overlay, edited)
	return cluster.ReadGuide(k.t, "run-on-kubernetes.md", "NODE", k.nodes[1].Name), dir
}

func (k *kubernetes) values() string {
	return fmt.Sprintf(`image: { prefix: registry.example.com/clusterlite-, tag: v1.0.0 }
kafka: { brokers: "%s" }
zones: DoNotSchedule
nginx: { image: "%s", service: { type: NodePort }, resources: { requests: { cpu: 50m, memory: 64Mi }, limits: { memory: 256Mi } } }
command: { resources: { requests: { cpu: 50m, memory: 128Mi }, limits: { memory: 512Mi } } }
query: { resources: { requests: { cpu: 50m, memory: 128Mi }, limits: { memory: 512Mi } } }
`, k.brokers(), nginxImage)
}

func (k *kubernetes) brokers() string { return k.control.Addr + ":9092" }

// createNamespace creates the namespace, which admits only pods that follow the restricted standard.
func (k *kubernetes) createNamespace() {
	k.t.Helper()
	k.apply("apiVersion: v1\nkind: Namespace\nmetadata: { name: " + namespace + ", labels: { pod-security.kubernetes.io/enforce: restricted } }\n")
}

// startBroker starts a broker of Apache Kafka.
func (k *kubernetes) startBroker() {
	k.t.Helper()
	libs := os.Getenv("CLUSTERLITE_KAFKA_LIBS")
	if libs == "" {
		libs = "/opt/kafka/libs"
	}
	config := filepath.Join(k.folder, "kafka.properties")
	k.write(config, fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[1]s:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%[1]s:9092,CONTROLLER://%[1]s:9093
log.dirs=%[2]s
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
`, k.control.Addr, filepath.Join(k.folder, "kafka")))
	k.command("java", "-cp", libs+"/*", "kafka.tools.StorageTool", "format", "-t", "Y2x1c3RlcmxpdGUtbmV0bg", "-c", config)
	k.process(k.control, "kafka", "java", "-Xmx400m", "-cp", libs+"/*", "kafka.Kafka", config)
}

// spread waits until autoscaling has set the number of query pods, and checks that the scheduler put them into a
// zone each.
func (k *kubernetes) spread() {
	k.t.Helper()
	var nodes []string
	k.eventually("there are three query pods that are ready", 5*time.Minute, func() bool {
		out, err := k.try("kubectl", "-n", namespace, "get", "pods", "-l", "app.kubernetes.io/component=query", "-o",
			`jsonpath={range .items[?(@.status.containerStatuses[0].ready==true)]}{.spec.nodeName}{" "}{end}`)
		nodes = strings.Fields(out)
		return err == nil && len(nodes) >= 3
	})
	slices.Sort(nodes)
	if want := []string{"node-1", "node-2", "node-3"}; !slices.Equal(nodes, want) {
		k.t.Errorf("got query pods on %v, want them on %v", nodes, want)
	}
}

// url is the address of a service of type NodePort, from outside the cluster.
func (k *kubernetes) url(service string) string {
	k.t.Helper()
	port := k.command("kubectl", "-n", namespace, "get", "service", service, "-o", "jsonpath={.spec.ports[0].nodePort}")
	return fmt.Sprintf("http://%s:%s", k.nodes[0].Observed, port)
}

// images returns the images of the pods of a service by the names of the pods.
func (k *kubernetes) images(component string) map[string]string {
	k.t.Helper()
	images := map[string]string{}
	for line := range strings.Lines(k.command("kubectl", "-n", namespace, "get", "pods", "-l", "app.kubernetes.io/component="+component, "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.containers[0].image}{"\n"}{end}`)) {
		name, image, _ := strings.Cut(strings.TrimSpace(line), " ")
		images[name] = image
	}
	return images
}

func names(m map[string]string) (all []string) {
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// A rollout has the pods in the order in which they changed.
type rollout struct {
	stop func()
	done chan []string
}

// watch follows the pods.
func (k *kubernetes) watch() rollout {
	k.t.Helper()
	cmd := exec.Command("kubectl", "-n", namespace, "get", "pods", "-w", "-o",
		`jsonpath={.metadata.name} {.spec.containers[0].image} {.status.conditions[?(@.type=="Ready")].status}{"\n"}`)
	cmd.Env = append(os.Environ(), k.env()...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	r := rollout{stop: func() { _ = cmd.Process.Kill() }, done: make(chan []string, 1)}
	k.t.Cleanup(r.stop)
	go func() {
		var lines []string
		for s := bufio.NewScanner(out); s.Scan(); {
			lines = append(lines, s.Text())
		}
		_ = cmd.Wait()
		r.done <- lines
	}()
	return r
}

// queryFirst checks that no command pod had the new version before all query pods were ready with it.
func (r rollout) queryFirst(t *testing.T) {
	t.Helper()
	r.stop()
	ready, replaced := map[string]bool{}, false
	for _, line := range <-r.done {
		pod := strings.Fields(line)
		if len(pod) < 2 || !strings.HasSuffix(pod[1], ":v1.1.0") {
			continue
		}
		switch {
		case strings.HasPrefix(pod[0], "clusterlite-query-") && len(pod) == 3 && pod[2] == "True":
			ready[pod[0]] = true
		case strings.HasPrefix(pod[0], "clusterlite-command-"):
			if !replaced && len(ready) < 3 {
				t.Errorf("got the command pod %s with %d query pods of its version that are ready, want 3", pod[0], len(ready))
			}
			replaced = true
		}
	}
	if !replaced {
		t.Error("got no command pod of the new version, want some")
	}
}
