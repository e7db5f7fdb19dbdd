package check

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The values of the set production have the effects that values.yaml describes.
func TestValuesOfProduction(t *testing.T) {
	m := chart(t, values(t, "production"))
	settings := m.configMaps["clusterlite-settings"].Data
	for name, want := range map[string]string{
		"CLUSTERLITE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "CLUSTERLITE_KAFKA_SASL_USERNAME": "shop",
		"CLUSTERLITE_BOOTSTRAP": "s3://backups?region=eu-west-1&prefix=shop/,http://clusterlite-query:9082",
	} {
		if got := settings[name]; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	pods := m.pods()
	for _, name := range []string{"clusterlite-command", "clusterlite-query"} {
		pod := pods[name].Spec
		mustMount(t, name, pod, "/kafka/ca", "kafka-ca", "CLUSTERLITE_KAFKA_TLS_CA_FILE")
		mustMount(t, name, pod, "/kafka/password", "kafka-user", "CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE")
		mustMount(t, name, pod, "/credentials", "shop-operators", "CLUSTERLITE_ADMIN_TOKEN_FILE")
		mustMount(t, name, pod, "/collections", "clusterlite-collections", "")
		if len(pod.Containers[0].EnvFrom) != 2 || pod.Containers[0].EnvFrom[1].SecretRef.Name != "bucket" {
			t.Errorf("%s: got the variables of %+v, want also those of the secret bucket", name, pod.Containers[0].EnvFrom)
		}
		spread := pod.TopologySpreadConstraints
		if len(spread) != 2 || spread[1].TopologyKey != "topology.kubernetes.io/zone" || spread[1].WhenUnsatisfiable != corev1.ScheduleAnyway {
			t.Errorf("%s: got %+v, want a spread over zones", name, spread)
		}
		if len(pod.ImagePullSecrets) != 1 || pod.ImagePullSecrets[0].Name != "registry" {
			t.Errorf("%s: got the pull secrets %v, want registry", name, pod.ImagePullSecrets)
		}
	}
	mustMount(t, "clusterlite-query", pods["clusterlite-query"].Spec, "/models", "clusterlite-models", "CLUSTERLITE_MODELS_DIR")
	if got := pods["clusterlite-command"].Spec.PriorityClassName; got != "high" {
		t.Errorf("got the priority class %q, want high", got)
	}
	if got := m.configMaps["clusterlite-collections"].Data["products.json"]; !strings.Contains(got, `"required": ["name"]`) {
		t.Errorf("got the collection %q, want that of the values", got)
	}
	claim := m.statefulSets["clusterlite-query"].Spec.VolumeClaimTemplates[0].Spec
	if size := claim.Resources.Requests[corev1.ResourceStorage]; claim.StorageClassName == nil || *claim.StorageClassName != "fast" || size.String() != "100Gi" {
		t.Errorf("got the claim %+v, want 100Gi of the class fast", claim)
	}
	if limit := pods["clusterlite-query"].Spec.Containers[0].Resources.Limits.Memory(); limit.String() != "4Gi" {
		t.Errorf("got the memory limit %s, want 4Gi", limit)
	}
	if got := m.scalers["clusterlite-query"].Spec.MaxReplicas; got != 20 {
		t.Errorf("got at most %d replicas, want 20", got)
	}
	ingress := m.ingresses["clusterlite"].Spec
	if *ingress.IngressClassName != "nginx" || ingress.TLS[0].SecretName != "shop-tls" || ingress.Rules[0].Host != "shop.example.com" || ingress.Rules[0].HTTP.Paths[0].Backend.Service.Name != "clusterlite" {
		t.Errorf("got the ingress %+v, want that of the values", ingress)
	}
	job := m.jobs["clusterlite-verify-1"]
	if job.Annotations["helm.sh/hook"] != "post-upgrade" || fmt.Sprint(job.Spec.Template.Spec.Containers[0].Args) != "[verify]" {
		t.Errorf("got the job %+v, want a hook that verifies", job)
	}
	cron := m.cronJobs["clusterlite-snapshot"].Spec
	if args := cron.JobTemplate.Spec.Template.Spec.Containers[0].Args; cron.Schedule != "17 3 * * *" || fmt.Sprint(args) != "[snapshot prune s3://backups?region=eu-west-1&prefix=shop/ --keep 14]" {
		t.Errorf("got the schedule %q and the arguments %v, want those of the values", cron.Schedule, args)
	}
	if got := m.monitors["clusterlite"]; got.Labels["release"] != "prometheus" || got.Spec.Endpoints[0].Interval != "15s" {
		t.Errorf("got the monitor %+v, want that of the values", got)
	}
	if got := m.rules["clusterlite"]; got.Labels["release"] != "prometheus" || len(got.Spec.Groups) == 0 {
		t.Errorf("got the rules %+v, want the alerts with the label of the values", got)
	}
	egress := m.policies["clusterlite-egress"].Spec.Egress
	if kafka := egress[1]; kafka.Ports[0].Port.IntVal != 9093 || kafka.To[0].IPBlock.CIDR != "10.20.0.0/16" {
		t.Errorf("got the rule %+v for Kafka, want its port and addresses", kafka)
	}
	if last := egress[len(egress)-1]; last.Ports[0].Port.IntVal != 443 {
		t.Errorf("got the last rule %+v, want the one that the values allow", last)
	}
}

// mustMount checks that a pod has the secret or config map in a folder, and that the variable names a file in it.
func mustMount(t *testing.T, where string, pod corev1.PodSpec, folder, source, variable string) {
	t.Helper()
	for _, mount := range pod.Containers[0].VolumeMounts {
		for _, volume := range pod.Volumes {
			if mount.Name != volume.Name || mount.MountPath != folder {
				continue
			}
			if volume.Secret != nil && volume.Secret.SecretName != source || volume.ConfigMap != nil && volume.ConfigMap.Name != source {
				t.Errorf("%s: got %+v in %s, want %s", where, volume, folder, source)
			}
			for _, e := range pod.Containers[0].Env {
				if variable == "" || e.Name == variable && strings.HasPrefix(e.Value, folder) {
					return
				}
			}
			t.Errorf("%s: got no %s in %s", where, variable, folder)
			return
		}
	}
	t.Errorf("%s: got nothing in %s, want %s", where, folder, source)
}
