{{- define "clusterlite.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* The labels that select the pods of a component: (list $ "query"). */}}
{{- define "clusterlite.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: clusterlite
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "clusterlite.labels" -}}
{{- $root := index . 0 -}}
{{ include "clusterlite.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* The image of a component: (list $ "query"). */}}
{{- define "clusterlite.image" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
{{- $root.Values.image.prefix }}{{ $component }}:{{ (index $root.Values $component).tag | default $root.Values.image.tag | default $root.Chart.AppVersion -}}
{{- end }}

{{- define "clusterlite.credentials" -}}
{{- .Values.credentials.existingSecret | default (printf "%s-credentials" (include "clusterlite.fullname" .)) -}}
{{- end }}

{{/* The security context of pods of the services and the tool. */}}
{{- define "clusterlite.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "clusterlite.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Where the pods of a component are scheduled: (list $ "query"). */}}
{{- define "clusterlite.scheduling" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $values := index $root.Values $component -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "clusterlite.selector" . | nindent 8 }}
  {{- with $root.Values.zones }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ . }}
    labelSelector:
      matchLabels:
        {{- include "clusterlite.selector" (list $root $component) | nindent 8 }}
  {{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A pod is replaced when what it reads only at its start changes. */}}
{{- define "clusterlite.checksums" -}}
checksum/settings: {{ include (print .Template.BasePath "/settings.yaml") . | sha256sum }}
checksum/collections: {{ include (print .Template.BasePath "/collections.yaml") . | sha256sum }}
{{- end }}

{{/* Where a pod without a read model looks for a snapshot. */}}
{{- define "clusterlite.bootstrap" -}}
{{- $places := .Values.bootstrap.stores -}}
{{- if .Values.snapshots.existingClaim -}}
{{- $places = append $places "/snapshots" -}}
{{- end -}}
{{- if .Values.bootstrap.peers -}}
{{- $places = append $places (printf "%s://%s-query:9082" (ternary "https" "http" (ne .Values.tls.admin "")) (include "clusterlite.fullname" .)) -}}
{{- end -}}
{{- join "," $places -}}
{{- end }}

{{/* The variables for files that secrets hold, for the services and the tool. */}}
{{- define "clusterlite.secretEnv" -}}
- { name: CLUSTERLITE_ADMIN_TOKEN_FILE, value: /credentials/admin-token }
{{- if .Values.tls.admin }}
- { name: CLUSTERLITE_ADMIN_TLS_CERT_FILE, value: /tls/admin/tls.crt }
- { name: CLUSTERLITE_ADMIN_TLS_KEY_FILE, value: /tls/admin/tls.key }
{{- end }}
{{- if .Values.tls.adminAuthority }}
- { name: CLUSTERLITE_ADMIN_TLS_CA_FILE, value: /tls/admin-authority/ca.crt }
{{- end }}
{{- if .Values.kafka.tls.enabled }}
- { name: CLUSTERLITE_KAFKA_TLS, value: "true" }
{{- if .Values.kafka.tls.caSecret.name }}
- { name: CLUSTERLITE_KAFKA_TLS_CA_FILE, value: /kafka/ca/{{ .Values.kafka.tls.caSecret.key }} }
{{- end }}
{{- if .Values.kafka.tls.clientSecret }}
- { name: CLUSTERLITE_KAFKA_TLS_CERT_FILE, value: /kafka/client/tls.crt }
- { name: CLUSTERLITE_KAFKA_TLS_KEY_FILE, value: /kafka/client/tls.key }
{{- end }}
{{- end }}
{{- if .Values.kafka.sasl.mechanism }}
- { name: CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE, value: /kafka/password/{{ .Values.kafka.sasl.passwordSecret.key }} }
{{- end }}
{{- end }}

{{- define "clusterlite.secretMounts" -}}
- { name: credentials, mountPath: /credentials, readOnly: true }
{{- if .Values.tls.admin }}
- { name: tls-admin, mountPath: /tls/admin, readOnly: true }
{{- end }}
{{- if .Values.tls.adminAuthority }}
- { name: tls-admin-authority, mountPath: /tls/admin-authority, readOnly: true }
{{- end }}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.caSecret.name }}
- { name: kafka-ca, mountPath: /kafka/ca, readOnly: true }
{{- end }}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.clientSecret }}
- { name: kafka-client, mountPath: /kafka/client, readOnly: true }
{{- end }}
{{- if .Values.kafka.sasl.mechanism }}
- { name: kafka-password, mountPath: /kafka/password, readOnly: true }
{{- end }}
{{- end }}

{{- define "clusterlite.secretVolumes" -}}
- name: credentials
  secret: { secretName: {{ include "clusterlite.credentials" . }}, defaultMode: 0440 }
{{- with .Values.tls.admin }}
- name: tls-admin
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- with .Values.tls.adminAuthority }}
- name: tls-admin-authority
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- if .Values.kafka.tls.enabled }}
{{- with .Values.kafka.tls.caSecret.name }}
- name: kafka-ca
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- with .Values.kafka.tls.clientSecret }}
- name: kafka-client
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end }}
{{- if .Values.kafka.sasl.mechanism }}
- name: kafka-password
  secret: { secretName: {{ required "kafka.sasl.passwordSecret.name is required with a mechanism" .Values.kafka.sasl.passwordSecret.name }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- define "clusterlite.envFrom" -}}
- configMapRef: { name: {{ include "clusterlite.fullname" . }}-settings }
{{- range .Values.envFromSecrets }}
- secretRef: { name: {{ . }} }
{{- end }}
{{- end }}

{{/* The container of a service: (list $ "query" "8082" "9082"). */}}
{{- define "clusterlite.service" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}{{- $http := index . 2 -}}{{- $admin := index . 3 -}}
{{- $values := index $root.Values $component -}}
name: {{ $component }}
image: {{ include "clusterlite.image" (list $root $component) }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
envFrom:
  {{- include "clusterlite.envFrom" $root | nindent 2 }}
env:
  - name: CLUSTERLITE_NODE_ID
    valueFrom: { fieldRef: { fieldPath: metadata.name } }
  - name: POD_IP
    valueFrom: { fieldRef: { fieldPath: status.podIP } }
  - { name: CLUSTERLITE_HTTP_ADDR, value: ":{{ $http }}" }
  - { name: CLUSTERLITE_ADMIN_ADDR, value: ":{{ $admin }}" }
  - { name: CLUSTERLITE_ADMIN_ADVERTISE, value: "$(POD_IP):{{ $admin }}" }
  {{- include "clusterlite.secretEnv" $root | nindent 2 }}
  {{- if $root.Values.tls.api }}
  - { name: CLUSTERLITE_TLS_CERT_FILE, value: /tls/api/tls.crt }
  - { name: CLUSTERLITE_TLS_KEY_FILE, value: /tls/api/tls.key }
  {{- end }}
  {{- if and $root.Values.models (eq $component "query") }}
  - { name: CLUSTERLITE_MODELS_DIR, value: /models }
  {{- end }}
  {{- with $values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - { name: http, containerPort: {{ $http }} }
  - { name: admin, containerPort: {{ $admin }} }
# The pod is live while it catches up, however long the log is, and ready once it has.
livenessProbe:
  httpGet: { path: /livez, port: admin{{ if $root.Values.tls.admin }}, scheme: HTTPS{{ end }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: admin{{ if $root.Values.tls.admin }}, scheme: HTTPS{{ end }} }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
# The pod becomes unready, serves until the endpoints have dropped it (CLUSTERLITE_DRAIN_WAIT), and
# finishes its requests.
lifecycle:
  preStop:
    exec: { command: [/clusterlite-{{ $component }}, drain] }
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  {{- include "clusterlite.containerSecurity" $root | nindent 2 }}
volumeMounts:
  - { name: data, mountPath: /data }
  - { name: collections, mountPath: /collections, readOnly: true }
  {{- include "clusterlite.secretMounts" $root | nindent 2 }}
  {{- if $root.Values.tls.api }}
  - { name: tls-api, mountPath: /tls/api, readOnly: true }
  {{- end }}
  {{- if and $root.Values.models (eq $component "query") }}
  - { name: models, mountPath: /models, readOnly: true }
  {{- end }}
  {{- if $root.Values.snapshots.existingClaim }}
  - { name: snapshots, mountPath: /snapshots, readOnly: true }
  {{- end }}
{{- end }}

{{/* The volumes of a service besides its data: (list $ "query"). */}}
{{- define "clusterlite.serviceVolumes" -}}
{{- $root := index . 0 -}}{{- $component := index . 1 -}}
- name: collections
  configMap: { name: {{ include "clusterlite.fullname" $root }}-collections }
{{ include "clusterlite.secretVolumes" $root }}
{{- with $root.Values.tls.api }}
- name: tls-api
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- if and $root.Values.models (eq $component "query") }}
- name: models
  configMap: { name: {{ include "clusterlite.fullname" $root }}-models }
{{- end }}
{{- with $root.Values.snapshots.existingClaim }}
- name: snapshots
  persistentVolumeClaim: { claimName: {{ . }}, readOnly: true }
{{- end }}
{{- end }}

{{/* A pod of the operator's tool: (list $ containers initContainers). */}}
{{- define "clusterlite.toolPod" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "clusterlite.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
volumes:
  # Temporary read models and copies of snapshots.
  - name: tmp
    emptyDir: { sizeLimit: {{ .Values.tool.tmpSizeLimit }} }
  - name: collections
    configMap: { name: {{ include "clusterlite.fullname" . }}-collections }
  {{- include "clusterlite.secretVolumes" . | nindent 2 }}
  {{- with .Values.snapshots.existingClaim }}
  - name: snapshots
    persistentVolumeClaim: { claimName: {{ . }} }
  {{- end }}
{{- end }}

{{/* A container of the operator's tool: (list $ name args). */}}
{{- define "clusterlite.toolContainer" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
image: {{ include "clusterlite.image" (list $root "tool") }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: {{ toJson (index . 2) }}
envFrom:
  {{- include "clusterlite.envFrom" $root | nindent 2 }}
env:
  {{- include "clusterlite.secretEnv" $root | nindent 2 }}
resources:
  {{- toYaml $root.Values.tool.resources | nindent 2 }}
securityContext:
  {{- include "clusterlite.containerSecurity" $root | nindent 2 }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: collections, mountPath: /collections, readOnly: true }
  {{- include "clusterlite.secretMounts" $root | nindent 2 }}
  {{- if $root.Values.snapshots.existingClaim }}
  - { name: snapshots, mountPath: /snapshots }
  {{- end }}
{{- end }}
