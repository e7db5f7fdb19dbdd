package check

import (
	"regexp"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
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
		kind, name := r.GetGvk().ApiVersion()+" "+r.GetKind(), r.GetName()
		if r.GetKind() != "Namespace" && r.GetNamespace() != "clusterlite" {
			t.Errorf("%s %s: got namespace %q, want clusterlite", kind, name, r.GetNamespace())
		}
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
		default:
			t.Errorf("%s %s: got a kind that no test checks", kind, name)
		}
	}
	return m
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
