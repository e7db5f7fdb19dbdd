package check

import (
	"regexp"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests holds the resources of a folder as the API's own types, by name.
type manifests struct {
	deployments  map[string]*appsv1.Deployment
	statefulSets map[string]*appsv1.StatefulSet
	services     map[string]*corev1.Service
	configMaps   map[string]*corev1.ConfigMap
	namespaces   map[string]*corev1.Namespace
	budgets      map[string]*policyv1.PodDisruptionBudget
	scalers      map[string]*autoscalingv2.HorizontalPodAutoscaler
	policies     map[string]*networkingv1.NetworkPolicy
	routes       map[string]*gatewayv1.HTTPRoute
	secrets      map[string]*corev1.Secret
	ingresses    map[string]*networkingv1.Ingress
	jobs         map[string]*batchv1.Job
	cronJobs     map[string]*batchv1.CronJob
	monitors     map[string]*monitoringv1.ServiceMonitor
	rules        map[string]*monitoringv1.PrometheusRule
}

// build runs kustomize on a folder and decodes the result strictly: a field that the API does
// not have is an error.
func build(t *testing.T, folder string) manifests {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../kubernetes/"+folder)
	if err != nil {
		t.Fatal(err)
	}
	var m manifests
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if r.GetKind() != "Namespace" && r.GetNamespace() != "clusterlite" {
			t.Errorf("%s %s: got namespace %q, want clusterlite", r.GetKind(), r.GetName(), r.GetNamespace())
		}
		m.add(t, text)
	}
	return m
}

// add decodes one object strictly. Each kind must be one that a test checks.
func (m *manifests) add(t *testing.T, text []byte) {
	t.Helper()
	var head struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
	}
	if err := yaml.Unmarshal(text, &head); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	kind, name := head.APIVersion+" "+head.Kind, head.Metadata.Name
	switch kind {
	case "apps/v1 Deployment":
		decode(t, text, name, &m.deployments)
	case "apps/v1 StatefulSet":
		decode(t, text, name, &m.statefulSets)
	case "v1 Service":
		decode(t, text, name, &m.services)
	case "v1 ConfigMap":
		decode(t, text, regexp.MustCompile(`-[a-z0-9]{10}$`).ReplaceAllString(name, ""), &m.configMaps)
	case "v1 Namespace":
		decode(t, text, name, &m.namespaces)
	case "policy/v1 PodDisruptionBudget":
		decode(t, text, name, &m.budgets)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		decode(t, text, name, &m.scalers)
	case "networking.k8s.io/v1 NetworkPolicy":
		decode(t, text, name, &m.policies)
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		decode(t, text, name, &m.routes)
	case "v1 Secret":
		decode(t, text, name, &m.secrets)
	case "networking.k8s.io/v1 Ingress":
		decode(t, text, name, &m.ingresses)
	case "batch/v1 Job":
		decode(t, text, name, &m.jobs)
	case "batch/v1 CronJob":
		decode(t, text, name, &m.cronJobs)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		decode(t, text, name, &m.monitors)
	case "monitoring.coreos.com/v1 PrometheusRule":
		decode(t, text, name, &m.rules)
	default:
		t.Errorf("%s %s: got a kind that no test checks", kind, name)
	}
}

func decode[T any](t *testing.T, text []byte, name string, into *map[string]*T) {
	t.Helper()
	v := new(T)
	if err := yaml.UnmarshalStrict(text, v); err != nil {
		t.Errorf("%s: %v\n%s", name, err, text)
	}
	if *into == nil {
		*into = map[string]*T{}
	}
	(*into)[name] = v
}

// pods returns the pod templates by the name of the resource that creates the pods.
func (m manifests) pods() map[string]corev1.PodTemplateSpec {
	pods := map[string]corev1.PodTemplateSpec{}
	for name, d := range m.deployments {
		pods[name] = d.Spec.Template
	}
	for name, s := range m.statefulSets {
		pods[name] = s.Spec.Template
	}
	for name, j := range m.jobs {
		pods[name] = j.Spec.Template
	}
	for name, j := range m.cronJobs {
		pods[name] = j.Spec.JobTemplate.Spec.Template
	}
	return pods
}

// matched returns the names of the resources whose pods match a selector.
func (m manifests) matched(t *testing.T, selector *metav1.LabelSelector) []string {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, pod := range m.pods() {
		if s.Matches(labels.Set(pod.Labels)) {
			names = append(names, name)
		}
	}
	return names
}

func selectorOf(labels map[string]string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: labels}
}
