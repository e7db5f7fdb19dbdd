// Package kubernetes_test runs the Helm chart and the kustomize base in a Kubernetes cluster of three nodes:
// the API server, the scheduler, the controllers, the kubelets and the proxies are those of a release, and
// run as processes on this host.
package kubernetes_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// A kubernetes is a running cluster. Its nodes are hosts of a network, in a zone each.
type kubernetes struct {
	t        *testing.T
	programs string // the folder with its programs
	folder   string // its files
	control  *cluster.Host
	nodes    []*cluster.Host
}

const token = "token-of-the-test"

// start starts a cluster with these images.
func start(t *testing.T, programs string, images []string) *kubernetes {
	t.Helper()
	k := &kubernetes{t: t, programs: programs, folder: t.TempDir()}
	k.save(images)
	t.Cleanup(removeControlGroups)
	n := cluster.NewNetwork(t)
	k.control = n.Host("control")
	for i := range 3 {
		k.nodes = append(k.nodes, n.Host(fmt.Sprintf("node-%d", i+1)))
	}
	for _, host := range n.Hosts {
		for i, node := range k.nodes {
			if node != host {
				k.ip(host, "add", pods(i), "via", node.Addr)
			}
		}
		if host != k.control {
			k.ip(host, "add", "default", "via", k.control.Addr)
		}
	}
	k.startControl()
	for i, node := range k.nodes {
		k.process(node, node.Name, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", filepath.Join(cluster.Root(t), "e2e", "kubernetes", "node.sh"),
			node.Name, filepath.Join(k.folder, node.Name), k.programs, node.Addr, fmt.Sprintf("zone-%d", i+1), pods(i))
	}
	k.prepare()
	t.Cleanup(func() { // while the cluster runs
		if t.Failed() {
			pods, _ := k.try("kubectl", "get", "pods", "-A", "-o", "wide")
			events, _ := k.try("kubectl", "get", "events", "-A", "--field-selector", "type=Warning")
			t.Logf("the pods:\n%s\nthe warnings:\n%s", pods, events)
		}
	})
	return k
}

// pods is the network of the pods of a node.
func pods(node int) string { return fmt.Sprintf("10.124.%d.0/24", node+1) }

func (k *kubernetes) ip(host *cluster.Host, args ...string) {
	k.t.Helper()
	k.command("ip", append([]string{"-n", filepath.Base(host.Namespace()), "route"}, args...)...)
}

// nginxImage is the image of Nginx. Builds of Nginx differ in the folder of their temporary files.
const nginxImage = "registry.example.com/nginx:1"

// save writes the images, that of Nginx, and one that sleeps for the pods themselves, to the file that the
// nodes load.
func (k *kubernetes) save(images []string) {
	k.t.Helper()
	nginx := k.t.TempDir()
	k.write(filepath.Join(nginx, "Dockerfile"), "FROM nginx:1.30-alpine\nUSER root\nRUN rm -rf /var/lib/nginx && ln -s /var/cache/nginx /var/lib/nginx\n")
	k.command("docker", "build", "-q", "-t", nginxImage, nginx)
	const pause = "registry.example.com/pause:1"
	source := strings.TrimSpace(k.command("go", "list", "-C", filepath.Join(cluster.Root(k.t), "deploy", "kubernetes", "apiserver"), "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"))
	build := k.t.TempDir()
	k.command("gcc", "-Os", "-static", "-DVERSION=1", "-o", filepath.Join(build, "pause"), filepath.Join(source, "build/pause/linux/pause.c"))
	k.write(filepath.Join(build, "Dockerfile"), "FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT [\"/pause\"]\n")
	k.command("docker", "build", "-q", "-t", pause, build)
	k.command("docker", append([]string{"save", "-o", filepath.Join(k.folder, "images.tar"), pause, nginxImage}, images...)...)
}

// startControl starts etcd, the API server, the controllers, the scheduler and the DNS.
func (k *kubernetes) startControl() {
	k.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		k.t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(k.folder, name) }
	k.write(file("key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	k.write(file("tokens.csv"), token+",admin,1,system:masters\n")
	k.write(file("kubeconfig"), fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{ name: test, cluster: { server: "https://%s:6443", insecure-skip-tls-verify: true } }]
users: [{ name: test, user: { token: %s } }]
contexts: [{ name: test, context: { cluster: test, user: test } }]
current-context: test
`, k.control.Observed, token))
	const etcd, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	k.process(k.control, "etcd", k.program("server"), "--data-dir", file("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers, "--unsafe-no-fsync")
	k.process(k.control, "kube-apiserver", k.program("kube-apiserver"), "--etcd-servers", etcd, "--bind-address", "0.0.0.0", "--advertise-address", k.control.Addr,
		"--secure-port", "6443", "--cert-dir", file("certificates"), "--service-cluster-ip-range", "10.0.0.0/24", "--service-account-issuer", "https://kubernetes",
		"--service-account-key-file", file("key.pem"), "--service-account-signing-key-file", file("key.pem"), "--token-auth-file", file("tokens.csv"),
		"--authorization-mode", "RBAC", "--kubelet-preferred-address-types", "InternalIP", "--endpoint-reconciler-type", "none")
	k.eventually("the API server is ready", 2*time.Minute, func() bool { _, err := k.try("kubectl", "get", "--raw", "/readyz"); return err == nil })
	for _, program := range []string{"kube-controller-manager", "kube-scheduler"} {
		args := []string{"--kubeconfig", file("kubeconfig"), "--authentication-kubeconfig", file("kubeconfig"), "--authorization-kubeconfig", file("kubeconfig"),
			"--leader-elect=false", "--cert-dir", file("certificates-" + program)}
		if program == "kube-controller-manager" {
			args = append(args, "--service-account-private-key-file", file("key.pem"))
		}
		k.process(k.control, program, k.program(program), args...)
	}
	self, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	k.process(k.control, "dns", "env", dnsVariable+"="+k.control.Addr+":53 https://127.0.0.1:6443", self)
}

// prepare creates what every cluster has: DNS under its usual name, and a storage class, here of local folders.
func (k *kubernetes) prepare() {
	k.t.Helper()
	objects := fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: { name: kube-dns, namespace: kube-system }
spec: { clusterIP: 10.0.0.10, ports: [{ name: dns, port: 53, protocol: UDP }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: kube-dns-1, namespace: kube-system, labels: { kubernetes.io/service-name: kube-dns } }
addressType: IPv4
endpoints: [{ addresses: [%s] }]
ports: [{ name: dns, port: 53, protocol: UDP }]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: local, annotations: { storageclass.kubernetes.io/is-default-class: "true" } }
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`, k.control.Addr)
	for i, node := range k.nodes {
		for n := range 4 {
			folder := filepath.Join(k.folder, "volumes", fmt.Sprintf("%d-%d", i, n))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				k.t.Fatal(err)
			}
			objects += fmt.Sprintf(`---
apiVersion: v1
kind: PersistentVolume
metadata: { name: volume-%d-%d }
spec:
  capacity: { storage: 100Gi }
  accessModes: [ReadWriteOnce]
  storageClassName: local
  local: { path: %s }
  nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: kubernetes.io/hostname, operator: In, values: [%s] }] }] } }
`, i, n, folder, node.Name)
		}
	}
	k.apply(objects)
	k.eventually("all nodes are ready", 5*time.Minute, func() bool {
		out, err := k.try("kubectl", "get", "nodes", "-o", `jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{" "}{end}`)
		return err == nil && out == "True True True "
	})
}

func (k *kubernetes) program(name string) string { return filepath.Join(k.programs, name) }

func (k *kubernetes) write(file, text string) {
	k.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// apply creates or changes objects.
func (k *kubernetes) apply(objects string) {
	k.t.Helper()
	file := filepath.Join(k.t.TempDir(), "objects.yaml")
	k.write(file, objects)
	k.command("kubectl", "apply", "-f", file)
}

// env are the variables of commands that use the cluster.
func (k *kubernetes) env() []string {
	return []string{"KUBECONFIG=" + filepath.Join(k.folder, "kubeconfig"), "PATH=" + k.programs + ":" + os.Getenv("PATH")}
}

func (k *kubernetes) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(append(os.Environ(), "GOWORK=off", "GOFLAGS="), k.env()...)
	if path := k.program(name); isFile(path) {
		cmd.Path, cmd.Err = path, nil
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// command runs a command, which must succeed, and returns its output.
func (k *kubernetes) command(name string, args ...string) string {
	k.t.Helper()
	out, err := k.try(name, args...)
	if err != nil {
		k.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// process runs a program on a host until the test ends.
func (k *kubernetes) process(host *cluster.Host, name, program string, args ...string) {
	k.t.Helper()
	log, err := os.Create(filepath.Join(k.folder, name+".log"))
	if err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.Command("nsenter", append([]string{"--net=" + host.Namespace(), program}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if k.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			k.t.Logf("the end of what %s wrote:\n%s", name, text[max(0, len(text)-1500):])
		}
	})
}

func (k *kubernetes) eventually(what string, within time.Duration, ok func() bool) {
	k.t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Fatalf("got a timeout, want that %s", what)
		}
	}
}

// removeControlGroups removes the control groups that node.sh creates. The processes in them have ended.
func removeControlGroups() {
	_ = exec.Command("find", "/sys/fs/cgroup/", "-depth", "-type", "d", "-path", "*/clusterlite-kubernetes*", "-exec", "rmdir", "{}", ";").Run()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
