package check

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

const settingsPage = "../../docs/reference/settings.md"

func is(names []string, name string) bool { return len(names) == 1 && names[0] == name }

func TestSelectorsFindWhatTheyMean(t *testing.T) {
	m := build(t, "base")
	for name, d := range m.deployments {
		if !is(m.matched(t, d.Spec.Selector), name) {
			t.Errorf("deployment %s: got the pods of %v, want its own", name, m.matched(t, d.Spec.Selector))
		}
	}
	for name, s := range m.statefulSets {
		if !is(m.matched(t, s.Spec.Selector), name) || m.services[s.Spec.ServiceName] == nil {
			t.Errorf("stateful set %s: got the pods of %v, want its own, and a service", name, m.matched(t, s.Spec.Selector))
		}
	}
	for name, s := range m.services {
		of := map[string]string{"clusterlite": "nginx", "command": "command", "query": "query"}[name]
		if !is(m.matched(t, &metav1.LabelSelector{MatchLabels: s.Spec.Selector}), of) {
			t.Errorf("service %s: got a selector that does not match the pods of %s alone", name, of)
		}
		for _, port := range s.Spec.Ports {
			if container := m.pods()[of].Spec.Containers[0]; portNamed(container, port.TargetPort.StrVal) == 0 {
				t.Errorf("service %s: got the target port %s, want one of %s", name, port.TargetPort.StrVal, of)
			}
		}
	}
	for _, name := range []string{"command", "query", "nginx"} {
		b := m.budgets[name]
		if b == nil || !is(m.matched(t, b.Spec.Selector), name) || b.Spec.MaxUnavailable.IntVal != 1 {
			t.Errorf("the disruption budget of %s: got %+v, want its pods with at most one unavailable", name, b)
		}
		for _, c := range m.pods()[name].Spec.TopologySpreadConstraints {
			if !is(m.matched(t, c.LabelSelector), name) {
				t.Errorf("%s: got a spread over the pods of %v, want its own", name, m.matched(t, c.LabelSelector))
			}
		}
	}
	scaler := m.scalers["query"]
	if target := scaler.Spec.ScaleTargetRef; m.statefulSets[target.Name] == nil || target.Kind != "StatefulSet" || m.statefulSets[target.Name].Spec.Replicas != nil {
		t.Errorf("got a number of replicas for %v from autoscaling and from the stateful set, want only the former", target)
	}
}

func portNamed(c corev1.Container, name string) int32 {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// Pods run with the permissions and resources that they need, everything that they refer to
// exists, and probes use ports that they have.
func TestPods(t *testing.T) {
	m := build(t, "base")
	if m.namespaces["clusterlite"].Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Error("got a namespace that does not enforce the restricted standard")
	}
	for name, pod := range m.pods() {
		c, s := pod.Spec.Containers[0], pod.Spec.SecurityContext
		own := c.SecurityContext
		if s == nil || !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *pod.Spec.AutomountServiceAccountToken ||
			!*own.ReadOnlyRootFilesystem || *own.AllowPrivilegeEscalation || fmt.Sprint(own.Capabilities.Drop) != "[ALL]" {
			t.Errorf("%s: got more permissions than necessary", name)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: got no request for CPU or no limit of memory, want both", name)
		}
		for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
			var port intstr.IntOrString
			switch {
			case probe.HTTPGet != nil:
				port = probe.HTTPGet.Port
			case probe.TCPSocket != nil:
				port = probe.TCPSocket.Port
			}
			if portNamed(c, port.StrVal) == 0 {
				t.Errorf("%s: got a probe of port %q, want a port that it has", name, port.StrVal)
			}
		}
		volumes := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			volumes[v.Name] = true
			if v.ConfigMap != nil && !hasGenerated(m, v.ConfigMap.Name) {
				t.Errorf("%s: got a volume of config map %s, want one that exists", name, v.ConfigMap.Name)
			}
		}
		if set := m.statefulSets[name]; set != nil {
			for _, v := range set.Spec.VolumeClaimTemplates {
				volumes[v.Name] = true
			}
		}
		for _, v := range c.VolumeMounts {
			if !volumes[v.Name] {
				t.Errorf("%s: got a mount of %s, want a volume that it has", name, v.Name)
			}
		}
	}
}

func hasGenerated(m manifests, name string) bool {
	for _, c := range m.configMaps {
		if c.Name == name {
			return true
		}
	}
	return false
}

// The variables are documented settings, and the ports are those that the settings open.
func TestSettings(t *testing.T) {
	m := build(t, "base")
	text := read(t, settingsPage)
	ours := map[string]string{}
	for name, value := range m.configMaps["clusterlite-settings"].Data {
		ours[name] = value
	}
	for name, pod := range m.pods() {
		for _, e := range pod.Spec.Containers[0].Env {
			ours[e.Name] = e.Value
			switch e.Name {
			case "CLUSTERLITE_HTTP_ADDR":
				if e.Value != fmt.Sprintf(":%d", portNamed(pod.Spec.Containers[0], "http")) {
					t.Errorf("%s: got the address %s, want the port called http", name, e.Value)
				}
			case "CLUSTERLITE_ADMIN_ADDR":
				if e.Value != fmt.Sprintf(":%d", portNamed(pod.Spec.Containers[0], "admin")) {
					t.Errorf("the admin listener of %s: got the address %s, want the port called admin", name, e.Value)
				}
			}
		}
	}
	for name := range ours {
		if strings.HasPrefix(name, "CLUSTERLITE_") && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("got the setting %s, want it in %s", name, settingsPage)
		}
	}
}

// Only Prometheus and the nodes can reach an admin listener, and only nginx can reach an API.
func TestNetwork(t *testing.T) {
	m := build(t, "base")
	for name := range m.pods() {
		p := m.policies[name]
		if p == nil || !is(m.matched(t, &p.Spec.PodSelector), name) {
			t.Fatalf("got no policy for %s", name)
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.Ports) != 1 || rule.Ports[0].Port == nil {
				t.Errorf("%s: got a rule for any port, want one port", name)
				continue
			}
			port := rule.Ports[0].Port.StrVal
			if name == "nginx" && port == "http" {
				continue // any client may connect
			}
			if len(rule.From) == 0 {
				t.Errorf("%s: got port %s open to any client", name, port)
			}
			for _, from := range rule.From {
				if from.NamespaceSelector != nil {
					if from.PodSelector == nil || from.PodSelector.MatchLabels["app.kubernetes.io/name"] != "prometheus" || port != "admin" {
						t.Errorf("%s: got port %s open to another namespace: %+v", name, port, from)
					}
					continue
				}
				for _, who := range m.matched(t, from.PodSelector) {
					if (who == "nginx") != (port == "http") {
						t.Errorf("%s: got a rule that lets %s reach port %s", name, who, port)
					}
				}
			}
		}
	}
}

// This nginx.conf is the one at the root except for the lines marked (site), and the services
// that those lines name exist.
func TestNginx(t *testing.T) {
	m := build(t, "base")
	shipped := strings.Split(read(t, "../../nginx.conf"), "\n")
	conf := m.configMaps["clusterlite-nginx"].Data["nginx.conf"]
	here := strings.Split(conf, "\n")
	if len(here) != len(shipped) {
		t.Fatalf("got %d lines, want those of the shipped file, %d", len(here), len(shipped))
	}
	for i, line := range here {
		if line != shipped[i] && (!strings.HasSuffix(line, "# (site)") || !strings.HasSuffix(shipped[i], "# (site)")) {
			t.Errorf("line %d: got\n%s\nwant the line of the shipped file, or a line marked (site)\n%s", i+1, line, shipped[i])
		}
	}
	servers := regexp.MustCompile(`(?m)^\s*server (\S+)\.(\S+)\.svc\.cluster\.local:(\d+) `).FindAllStringSubmatch(conf, -1)
	if len(servers) != 4 {
		t.Errorf("got %d servers, want 4", len(servers))
	}
	for _, s := range servers {
		service := m.services[s[1]]
		if service == nil || service.Namespace != s[2] || service.Spec.ClusterIP != corev1.ClusterIPNone || fmt.Sprint(portNamed(m.pods()[s[1]].Spec.Containers[0], "http")) != s[3] {
			t.Errorf("got the server %s, want a headless service that exists", s[0])
		}
	}
	if listens := fmt.Sprintf("listen %d;", portNamed(m.pods()["nginx"].Spec.Containers[0], "http")); !strings.Contains(conf, listens) {
		t.Errorf("got an nginx.conf without %q", listens)
	}
}

// With a gateway, reads go to the query nodes and all other requests to the command nodes.
func TestGateway(t *testing.T) {
	m := build(t, "overlays/gateway")
	if len(m.deployments) != 1 || m.services["clusterlite"] != nil || m.budgets["nginx"] != nil || m.policies["nginx"] != nil {
		t.Error("got parts of nginx, want none")
	}
	leads := map[string]string{}
	for _, rule := range m.routes["clusterlite"].Spec.Rules {
		for _, match := range rule.Matches {
			method := "other"
			if match.Method != nil {
				method = string(*match.Method)
			}
			to := rule.BackendRefs[0]
			leads[method] = string(to.Name)
			if s := m.services[string(to.Name)]; s == nil || s.Spec.Ports[0].Port != int32(*to.Port) {
				t.Errorf("%s: got the service %v, want one that exists", method, to)
			}
		}
		if rule.BackendRefs[0].Name == "command" && rule.Retry != nil {
			t.Error("got a retry of writes, want none")
		}
	}
	if fmt.Sprint(leads) != "map[GET:query HEAD:query other:command]" {
		t.Errorf("got %v, want reads sent to query and all else to command", leads)
	}
	for _, name := range []string{"command", "query"} {
		from := m.policies[name].Spec.Ingress[0].From
		if last := from[len(from)-1]; last.NamespaceSelector == nil || m.policies[name].Spec.Ingress[0].Ports[0].Port.StrVal != "http" {
			t.Errorf("got no rule that lets the gateway reach %s", name)
		}
	}
}

func TestExample(t *testing.T) {
	m := build(t, "overlays/example")
	if c := m.pods()["query"].Spec.Containers[0]; c.Image != "registry.example.com/clusterlite-query:v1.0.0" {
		t.Errorf("got the image %s, want that of the overlay", c.Image)
	}
	if brokers := m.configMaps["clusterlite-settings"].Data["CLUSTERLITE_KAFKA_BROKERS"]; !strings.Contains(brokers, "example.com") {
		t.Errorf("got the brokers %s, want those of the overlay", brokers)
	}
}

// Nodes and the tool use the same token of operators, and the network policies admit the tool.
func TestCredentials(t *testing.T) {
	m := build(t, "base")
	var job batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(read(t, "../kubernetes/tool.yaml")), &job); err != nil {
		t.Fatal(err)
	}
	tool := job.Spec.Template
	pods := map[string]corev1.PodTemplateSpec{"command": m.pods()["command"], "query": m.pods()["query"], "tool": tool}
	for name, pod := range pods {
		c := pod.Spec.Containers[0]
		var file string
		for _, e := range c.Env {
			if e.Name == "CLUSTERLITE_ADMIN_TOKEN_FILE" {
				file = e.Value
			}
		}
		var folder, secret string
		for _, v := range c.VolumeMounts {
			if v.Name == "credentials" && v.ReadOnly {
				folder = v.MountPath
			}
		}
		for _, v := range pod.Spec.Volumes {
			if v.Name == "credentials" && v.Secret != nil && v.Secret.Optional == nil && *v.Secret.DefaultMode == 0o440 {
				secret = v.Secret.SecretName
			}
		}
		if secret != "clusterlite-credentials" || file != folder+"/admin-token" {
			t.Errorf("%s: got the token in %q, from the secret %q mounted at %q, want it from clusterlite-credentials", name, file, secret, folder)
		}
		if s, own := pod.Spec.SecurityContext, c.SecurityContext; !*s.RunAsNonRoot || s.FSGroup == nil || *s.FSGroup != *s.RunAsGroup || !*own.ReadOnlyRootFilesystem ||
			*own.AllowPrivilegeEscalation || fmt.Sprint(own.Capabilities.Drop) != "[ALL]" || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *pod.Spec.AutomountServiceAccountToken {
			t.Errorf("%s: got other permissions than necessary, want those of the restricted standard and a group that can read the token", name)
		}
	}
	if page := read(t, "../../docs/how-to/run-on-kubernetes.md"); !strings.Contains(page, "secret generic clusterlite-credentials") || !strings.Contains(page, "--from-literal=admin-token=") {
		t.Error("got a page that does not create the secret")
	}
	for _, name := range []string{"command", "query"} {
		admitted := false
		for _, rule := range m.policies[name].Spec.Ingress {
			for _, from := range rule.From {
				if from.NamespaceSelector != nil || rule.Ports[0].Port.StrVal != "admin" {
					continue
				}
				s, err := metav1.LabelSelectorAsSelector(from.PodSelector)
				if err != nil {
					t.Fatal(err)
				}
				admitted = admitted || s.Matches(labels.Set(tool.Labels))
			}
		}
		if !admitted {
			t.Errorf("got no rule that lets the tool reach the admin listener of %s", name)
		}
	}
}
