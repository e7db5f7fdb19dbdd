package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// TestAPIServer creates what the kustomize base and the chart render in a real API server, which
// validates and admits it. No controllers run, so no pod is scheduled: for each template the test
// itself creates a pod, in a namespace that enforces the restricted standard.
func TestAPIServer(t *testing.T) {
	folder := os.Getenv("CLUSTERLITE_KUBERNETES")
	if folder == "" {
		t.Skip("CLUSTERLITE_KUBERNETES does not name a folder with kube-apiserver and server, which is etcd: make kubernetes builds them")
	}
	k := startKubernetes(t, folder)
	k.install(t, "sigs.k8s.io/gateway-api", "config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml")

	sets := map[string][]string{}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../kubernetes/base")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		sets["base"] = append(sets["base"], string(text))
	}
	sets["tool"] = []string{strings.Replace(read(t, "../kubernetes/tool.yaml"), "generateName: tool-", "name: tool", 1)}
	for _, set := range append(valueSets, "") {
		if sets["chart-"+set], err = documents(values(t, set)); err != nil {
			t.Fatal(err)
		}
	}
	created := map[string]int{}
	for set, docs := range sets {
		namespace := strings.TrimSuffix("test-"+set, "-")
		k.create(t, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
			"name": namespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"}}})
		for _, doc := range docs {
			var o map[string]any
			if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
				t.Fatal(err)
			}
			if kind := o["kind"]; kind == "Namespace" || kind == "ServiceMonitor" || kind == "PrometheusRule" {
				continue // the namespace is that of the set; the Prometheus operator's types have no definitions here
			}
			o["metadata"].(map[string]any)["namespace"] = namespace
			k.create(t, o)
			created[o["kind"].(string)]++
			if pod := podOf(o, namespace); pod != nil {
				k.create(t, pod)
				created["Pod"]++
			}
		}
	}
	t.Logf("created %v", created)

	// The server rejects what is wrong. Otherwise the test would show nothing.
	namespace := "test-base"
	for _, wrong := range []string{
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: wrong, namespace: " + namespace + "}, dat: {}}",
		"{apiVersion: v1, kind: Pod, metadata: {name: wrong, namespace: " + namespace + "}, spec: {containers: [{name: x, image: x}]}}",
		"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: wrong, namespace: " + namespace + "}, spec: {rules: [{http: {paths: [{path: x}]}}]}}",
	} {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(wrong), &o); err != nil {
			t.Fatal(err)
		}
		if status, answer := k.post(t, o); status < 400 {
			t.Errorf("%s: got %d %s, want an error", wrong, status, answer)
		}
	}
}

// podOf returns a pod as a controller would create it from the object's template; nil if it has none.
func podOf(o map[string]any, namespace string) map[string]any {
	spec, _ := o["spec"].(map[string]any)
	if job, ok := spec["jobTemplate"].(map[string]any); ok {
		spec, _ = job["spec"].(map[string]any)
	}
	template, ok := spec["template"].(map[string]any)
	if !ok {
		return nil
	}
	pod := template["spec"].(map[string]any)
	if claims, ok := spec["volumeClaimTemplates"].([]any); ok {
		volumes, _ := pod["volumes"].([]any)
		for _, c := range claims {
			name := c.(map[string]any)["metadata"].(map[string]any)["name"]
			volumes = append(volumes, map[string]any{"name": name, "persistentVolumeClaim": map[string]any{"claimName": name}})
		}
		pod["volumes"] = volumes
	}
	if pod["priorityClassName"] != nil {
		delete(pod, "priorityClassName") // the class would have to exist
	}
	meta := map[string]any{}
	if m, ok := template["metadata"].(map[string]any); ok {
		meta = m
	}
	meta["name"], meta["namespace"] = strings.ToLower(o["kind"].(string))+"-"+o["metadata"].(map[string]any)["name"].(string), namespace
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod}
}

// kubernetes is a running API server.
type kubernetes struct {
	url    string
	client *http.Client
}

const kubernetesToken = "token-of-the-test"

func startKubernetes(t *testing.T, folder string) kubernetes {
	t.Helper()
	work := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(work, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	store, peers, port := freeAddress(t), freeAddress(t), freeAddress(t)
	start(t, filepath.Join(folder, "server"), "--data-dir", filepath.Join(work, "etcd"), "--listen-client-urls", "http://"+store, "--advertise-client-urls", "http://"+store,
		"--listen-peer-urls", "http://"+peers, "--initial-advertise-peer-urls", "http://"+peers, "--initial-cluster", "default=http://"+peers, "--unsafe-no-fsync")
	start(t, filepath.Join(folder, "kube-apiserver"), "--etcd-servers", "http://"+store, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
		"--secure-port", port[strings.LastIndex(port, ":")+1:], "--cert-dir", filepath.Join(work, "certificates"), "--service-cluster-ip-range", "10.0.0.0/24",
		"--service-account-issuer", "https://kubernetes", "--service-account-key-file", keyFile, "--service-account-signing-key-file", keyFile,
		"--token-auth-file", write("tokens.csv", kubernetesToken+",admin,1,system:masters\n"), "--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount",
		"--endpoint-reconciler-type", "none")
	k := kubernetes{url: "https://" + port, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}} // its own certificate, on loopback
	k.await(t, "/readyz", func(status int, _ []byte) bool { return status == http.StatusOK })
	return k
}

// start starts a program and stops it when the test ends. Its output is logged if the test fails.
func start(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, program, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
		if t.Failed() {
			lines := strings.Split(out.String(), "\n")
			t.Logf("%s:\n%s", filepath.Base(program), strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// await asks for a path until the answer is as wanted, for at most two minutes.
func (k kubernetes) await(t *testing.T, path string, done func(status int, answer []byte) bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	var last string
	for time.Now().Before(deadline) {
		status, answer, err := k.do(http.MethodGet, path, nil)
		if err == nil && done(status, answer) {
			return
		}
		last = fmt.Sprint(status, " ", string(answer), " ", err)
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s: got %s within two minutes", path, last)
}

func (k kubernetes) do(method, path string, body []byte) (int, []byte, error) {
	r, err := http.NewRequest(method, k.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+kubernetesToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := k.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// plurals are the resources of the kinds, where they are not the kind in lower case with an s.
var plurals = map[string]string{"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"}

// post creates an object, and has the server reject unknown and duplicate fields.
func (k kubernetes) post(t *testing.T, o map[string]any) (int, []byte) {
	t.Helper()
	version, kind, path := o["apiVersion"].(string), o["kind"].(string), "/apis/"
	if !strings.Contains(version, "/") {
		path = "/api/"
	}
	path += version
	if namespace, ok := o["metadata"].(map[string]any)["namespace"].(string); ok {
		path += "/namespaces/" + namespace
	}
	resource := plurals[kind]
	if resource == "" {
		resource = strings.ToLower(kind) + "s"
	}
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := k.do(http.MethodPost, path+"/"+resource+"?fieldValidation=Strict", body)
	if err != nil {
		t.Fatal(err)
	}
	return status, answer
}

func (k kubernetes) create(t *testing.T, o map[string]any) {
	t.Helper()
	if status, answer := k.post(t, o); status != http.StatusCreated {
		t.Errorf("%s %v: got %d %s, want 201", o["kind"], o["metadata"], status, answer)
	}
}

// install creates a custom resource definition from a file of a Go module, and waits until it serves.
func (k kubernetes) install(t *testing.T, module, file string) {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	var o map[string]any
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(strings.TrimSpace(string(folder)), file))), &o); err != nil {
		t.Fatal(err)
	}
	k.create(t, o)
	spec := o["spec"].(map[string]any)
	k.await(t, fmt.Sprintf("/apis/%s/v1/%s", spec["group"], spec["names"].(map[string]any)["plural"]), func(status int, _ []byte) bool { return status == http.StatusOK })
}
