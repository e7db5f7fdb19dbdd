package check

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../helm/clusterlite"

// valueSets are the sets of values that the tests render.
var valueSets = []string{"development", "production", "gateway"}

// values reads a set of values; "" is that of the chart alone.
func values(t *testing.T, set string) map[string]any {
	t.Helper()
	v := map[string]any{}
	if set != "" {
		if err := yaml.UnmarshalStrict([]byte(read(t, "../helm/values/"+set+".yaml")), &v); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// loadChart reads the chart once. Helm logs each link of the folder, which is intended here.
var loadChart = sync.OnceValues(func() (*helmchart.Chart, error) {
	log.SetOutput(io.Discard)
	defer log.SetOutput(os.Stderr)
	return loader.Load(chartFolder)
})

// documents renders the chart as the release clusterlite, and returns its YAML documents.
func documents(v map[string]any) ([]string, error) {
	chart, err := loadChart()
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "clusterlite", Namespace: "clusterlite", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, v, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	var docs []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".yaml" {
			continue
		}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(files[name])))
		for {
			doc, err := reader.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if strings.TrimSpace(regexp.MustCompile(`(?m)^(#.*|---)$`).ReplaceAllString(string(doc), "")) != "" {
				docs = append(docs, string(doc))
			}
		}
	}
	return docs, nil
}

// chart renders the chart and decodes the result strictly, as build does for kustomize.
func chart(t *testing.T, v map[string]any) manifests {
	t.Helper()
	docs, err := documents(v)
	if err != nil {
		t.Fatal(err)
	}
	var m manifests
	for _, doc := range docs {
		m.add(t, []byte(doc))
	}
	return m
}

func TestChartIsLinted(t *testing.T) {
	log.SetOutput(io.Discard) // as in loadChart
	defer log.SetOutput(os.Stderr)
	for _, set := range append(valueSets, "") {
		linter := lint.AllWithKubeVersionAndSchemaValidation(chartFolder, values(t, set), "clusterlite", &chartutil.KubeVersion{Version: "v1.36.0", Major: "1", Minor: "36"}, false)
		for _, m := range linter.Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("values %q: got %v, want no warning", set, m)
			}
		}
	}
}

// Each set of values renders to objects that the types of the APIs accept, whose selectors find
// their pods, whose pods refer to what exists, and whose variables are documented.
func TestChart(t *testing.T) {
	page := read(t, settingsPage)
	for _, set := range append(valueSets, "") {
		m := chart(t, values(t, set))
		given := map[string]bool{"shop-operators": true, "kafka-ca": true, "kafka-user": true, "bucket": true, "registry": true, "cluster-ca-cert": true,
			"clusterlite-user": true, "api-tls": true, "internal-ca": true, "admin-tls": true, "snapshots": true}
		for name := range m.secrets {
			given[name] = true
		}
		for name := range m.configMaps {
			given[name] = true
			for variable := range m.configMaps[name].Data {
				if strings.HasPrefix(variable, "CLUSTERLITE_") && !strings.Contains(page, "`"+variable+"`") {
					t.Errorf("values %q: got the setting %s, want a documented one", set, variable)
				}
			}
		}
		for name, s := range m.services {
			if name == "clusterlite-admin" {
				continue
			}
			if want := strings.TrimSuffix("clusterlite-"+s.Labels["app.kubernetes.io/component"], "-"); fmt.Sprint(m.matched(t, selectorOf(s.Spec.Selector))) != "["+want+"]" {
				t.Errorf("values %q, service %s: got the pods of %v, want those of %s", set, name, m.matched(t, selectorOf(s.Spec.Selector)), want)
			}
		}
		for name, b := range m.budgets {
			if !is(m.matched(t, b.Spec.Selector), name) {
				t.Errorf("values %q, budget %s: got the pods of %v", set, name, m.matched(t, b.Spec.Selector))
			}
		}
		for name, pod := range m.pods() {
			checkPod(t, fmt.Sprintf("values %q, %s", set, name), pod, m, given, page)
		}
	}
}

func checkPod(t *testing.T, where string, pod corev1.PodTemplateSpec, m manifests, given map[string]bool, page string) {
	t.Helper()
	if s := pod.Spec.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *pod.Spec.AutomountServiceAccountToken {
		t.Errorf("%s: got more permissions than necessary", where)
	}
	volumes := map[string]bool{"data": true}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		name := ""
		switch {
		case v.ConfigMap != nil:
			name = v.ConfigMap.Name
		case v.Secret != nil:
			name = v.Secret.SecretName
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.EmptyDir != nil:
			if v.EmptyDir.SizeLimit.IsZero() {
				t.Errorf("%s: got the temporary folder %s without a limit", where, v.Name)
			}
			continue
		}
		if !given[name] {
			t.Errorf("%s: got a volume of %q, want one that exists", where, name)
		}
	}
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		if own := c.SecurityContext; !*own.ReadOnlyRootFilesystem || *own.AllowPrivilegeEscalation || fmt.Sprint(own.Capabilities.Drop) != "[ALL]" || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: got a container with more permissions than necessary, or without a memory limit", where)
		}
		for _, v := range c.VolumeMounts {
			if !volumes[v.Name] {
				t.Errorf("%s: got a mount of %s, want a volume that it has", where, v.Name)
			}
		}
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil && !given[from.ConfigMapRef.Name] || from.SecretRef != nil && !given[from.SecretRef.Name] {
				t.Errorf("%s: got variables from %+v, want what exists", where, from)
			}
		}
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "CLUSTERLITE_") && !strings.Contains(page, "`"+e.Name+"`") {
				t.Errorf("%s: got the setting %s, want a documented one", where, e.Name)
			}
			if folder := path.Dir(e.Value); strings.HasPrefix(e.Value, "/") && strings.HasSuffix(e.Name, "_FILE") && !slices.ContainsFunc(c.VolumeMounts, func(v corev1.VolumeMount) bool { return v.MountPath == folder }) {
				t.Errorf("%s: got %s in the folder %s, want a mounted one", where, e.Name, folder)
			}
		}
	}
}

// Values that do not exist, or that no installation can use, are rejected.
func TestChartRejectsWrongValues(t *testing.T) {
	for _, wrong := range []string{
		"kafka: { broker: x }", "kafka: { brokers: kafka }", "kafka: { sasl: { mechanism: GSSAPI } }", "query: { replicas: 0 }", "zones: Always",
		"settings: { LOG_LEVEL: debug }", "collections: { products: '{}' }", "jobs: [{ name: verify }]", "snapshots: { enabled: true }",
		"kafka: { sasl: { mechanism: PLAIN } }", "tls: { api: x }", "gateway: { enabled: true }", "nginx: { enabled: false }\ningress: { enabled: true }",
	} {
		v := map[string]any{}
		if err := yaml.Unmarshal([]byte(wrong), &v); err != nil {
			t.Fatal(err)
		}
		if _, err := documents(v); err == nil {
			t.Errorf("%s: got manifests, want an error", wrong)
		}
	}
}

// A changed setting or collection replaces the pods of both services, and one of nginx those of nginx.
func TestChangedValuesReplacePods(t *testing.T) {
	before := chart(t, values(t, "development"))
	changes := map[string][]string{
		"settings: { CLUSTERLITE_READ_WAIT: 3s }":      {"clusterlite-command", "clusterlite-query"},
		"collections: { products.json: '{}' }":         {"clusterlite-command", "clusterlite-query"},
		"nginx: { resolver: dns.example.com }":         {"clusterlite-nginx"},
		"query: { storage: { size: 2Gi } }":            nil,
		"nginx: { service: { type: LoadBalancer } }":   nil,
		"kafka: { brokers: 'other:9092' }":             {"clusterlite-command", "clusterlite-query"},
		"command: { tag: v0.9.0 }":                     {"clusterlite-command"},
		"monitoring: { dashboard: { enabled: true } }": nil,
	}
	for change, want := range changes {
		v := map[string]any{}
		if err := yaml.Unmarshal([]byte(change), &v); err != nil {
			t.Fatal(err)
		}
		var got []string
		for name, pod := range chart(t, chartutil.CoalesceTables(v, values(t, "development"))).pods() {
			if !equality.Semantic.DeepEqual(pod, before.pods()[name]) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got new pods of %v, want those of %v", change, got, want)
		}
	}
}

// With its own values, the chart renders what the kustomize base has: the pods, except for the
// tags of images, and the rest of the objects except for names and labels.
func TestChartIsTheBase(t *testing.T) {
	base, c := build(t, "base"), chart(t, values(t, ""))
	for name, want := range base.pods() {
		got := c.pods()["clusterlite-"+name]
		for i := range got.Spec.Containers {
			got.Spec.Containers[i].Image = strings.TrimSuffix(got.Spec.Containers[i].Image, ":dev")
			got.Spec.Containers[i].ImagePullPolicy = ""
		}
		for _, s := range got.Spec.TopologySpreadConstraints {
			delete(s.LabelSelector.MatchLabels, "app.kubernetes.io/instance")
		}
		for i, v := range want.Spec.Volumes {
			if v.ConfigMap != nil { // without kustomize's suffix
				want.Spec.Volumes[i].ConfigMap.Name = regexp.MustCompile(`-[a-z0-9]{10}$`).ReplaceAllString(v.ConfigMap.Name, "")
			}
		}
		if !equality.Semantic.DeepEqual(got.Spec, want.Spec) {
			t.Errorf("the pods of %s: got\n%s\nwant\n%s", name, asYAML(t, got.Spec), asYAML(t, want.Spec))
		}
	}
	if got, want := c.configMaps["clusterlite-settings"].Data, base.configMaps["clusterlite-settings"].Data; !equality.Semantic.DeepEqual(got, withBootstrap(want)) {
		t.Errorf("settings: got %v, want %v", got, want)
	}
	rename := strings.NewReplacer("clusterlite-query.", "query.", "clusterlite-command.", "command.")
	if got, want := rename.Replace(c.configMaps["clusterlite-nginx"].Data["nginx.conf"]), base.configMaps["clusterlite-nginx"].Data["nginx.conf"]; strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Error("nginx.conf: got another file than that of the base")
	}
	for name, want := range base.services {
		got := c.services[strings.TrimSuffix("clusterlite-"+name, "-clusterlite")]
		if !equality.Semantic.DeepEqual(got.Spec.Ports, want.Spec.Ports) || got.Spec.ClusterIP != want.Spec.ClusterIP || got.Spec.Type != want.Spec.Type {
			t.Errorf("service %s: got %+v, want %+v", name, got.Spec, want.Spec)
		}
	}
	for name, d := range base.deployments {
		want := d.Spec
		if got := c.deployments["clusterlite-"+name].Spec; *got.Replicas != *want.Replicas || !equality.Semantic.DeepEqual(got.Strategy, want.Strategy) {
			t.Errorf("deployment %s: got %+v, want %+v", name, got, want)
		}
	}
	set, wantSet := c.statefulSets["clusterlite-query"].Spec, base.statefulSets["query"].Spec
	if set.PodManagementPolicy != wantSet.PodManagementPolicy || !equality.Semantic.DeepEqual(set.VolumeClaimTemplates, wantSet.VolumeClaimTemplates) || set.Replicas != wantSet.Replicas {
		t.Errorf("stateful set: got %+v, want %+v", set, wantSet)
	}
	scaler, wantScaler := c.scalers["clusterlite-query"].Spec, base.scalers["query"].Spec
	scaler.ScaleTargetRef.Name = strings.TrimPrefix(scaler.ScaleTargetRef.Name, "clusterlite-")
	if !equality.Semantic.DeepEqual(scaler, wantScaler) {
		t.Errorf("autoscaling: got %+v, want %+v", scaler, wantScaler)
	}
	for name, b := range base.budgets {
		want := b.Spec
		if got := c.budgets["clusterlite-"+name].Spec; *got.MaxUnavailable != *want.MaxUnavailable || *got.UnhealthyPodEvictionPolicy != *want.UnhealthyPodEvictionPolicy {
			t.Errorf("disruption budget %s: got %+v, want %+v", name, got, want)
		}
	}
	for name, want := range base.policies {
		got := c.policies["clusterlite-"+name].Spec
		delete(got.PodSelector.MatchLabels, "app.kubernetes.io/instance")
		for _, rule := range got.Ingress {
			for _, from := range rule.From {
				if from.PodSelector != nil {
					delete(from.PodSelector.MatchLabels, "app.kubernetes.io/instance")
				}
			}
		}
		if !equality.Semantic.DeepEqual(got, want.Spec) {
			t.Errorf("network policy %s: got\n%s\nwant\n%s", name, asYAML(t, got), asYAML(t, want.Spec))
		}
	}
}

// withBootstrap returns the settings of the base with the name that the chart gives its service.
func withBootstrap(base map[string]string) map[string]string {
	s := maps.Clone(base)
	s["CLUSTERLITE_BOOTSTRAP"] = strings.ReplaceAll(s["CLUSTERLITE_BOOTSTRAP"], "//query:", "//clusterlite-query:")
	return s
}

// The chart has no copies: these files are links to those that everyone else uses.
func TestChartLinksToTheSharedFiles(t *testing.T) {
	for name, want := range map[string]string{"nginx.conf": "../kubernetes/base/nginx.conf", "alerts.yml": "../prometheus/alerts.yml", "dashboard.json": "../grafana/clusterlite.json"} {
		got, err := os.Stat(chartFolder + "/files/" + name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.Stat(want)
		if err != nil || !os.SameFile(got, file) {
			t.Errorf("%s: got another file than %s (%v)", name, want, err)
		}
	}
}

// nginx serves HTTPS with a secret, and connects to services that use TLS with TLS.
func TestChartNginxWithTLS(t *testing.T) {
	v := map[string]any{"nginx": map[string]any{"tlsSecret": "site"}, "tls": map[string]any{"api": "api", "apiAuthority": "ca"}}
	m := chart(t, v)
	conf := m.configMaps["clusterlite-nginx"].Data["nginx.conf"]
	for _, want := range []string{"listen 8443 ssl;", "return 308 https://", "proxy_ssl_verify on;", "/etc/nginx/authority/ca.crt", "proxy_pass https://query;"} {
		if !strings.Contains(conf, want) {
			t.Errorf("got an nginx.conf without %q", want)
		}
	}
	for _, unwanted := range []string{"#tls", "proxy_pass http:", "listen 80;", "listen 443"} {
		if strings.Contains(conf, unwanted) {
			t.Errorf("got an nginx.conf with %q", unwanted)
		}
	}
	if strings.Count(conf, "listen 8080;") != 1 {
		t.Errorf("got %d plain listeners, want 1", strings.Count(conf, "listen 8080;"))
	}
	if ports := m.services["clusterlite"].Spec.Ports; len(ports) != 2 || ports[1].Port != 443 {
		t.Errorf("got the ports %+v, want 80 and 443", ports)
	}
}

func asYAML(t *testing.T, v any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}
