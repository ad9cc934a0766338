{{/* Labels, images, and the parts of a pod that are the same everywhere. */}}

{{- define "audience.selector" -}}
{{- /* (root, component): what a pod is chosen by; never changes. */ -}}
app.kubernetes.io/name: audience-manager
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "audience.labels" -}}
{{ include "audience.selector" . }}
app.kubernetes.io/part-of: audience-manager
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "audience.image" -}}
{{- /* (root, image: the key of values.image) */ -}}
{{- $image := get .root.Values.image .image -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "audience.imageLines" -}}
image: {{ include "audience.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{- define "audience.podSecurity" -}}
{{- /* (id: user and group) Pod Security `restricted`. */ -}}
runAsNonRoot: true
runAsUser: {{ .id }}
runAsGroup: {{ .id }}
fsGroup: {{ .id }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "audience.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "audience.spread" -}}
{{- /* (root, component, revision: the pod label that tells old from new, or "") */ -}}
{{- if eq .root.Values.availability.spread "zones" }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: DoNotSchedule
    labelSelector:
      matchLabels: {{- include "audience.selector" . | nindent 8 }}
    {{- with .revision }}
    # Without it the pods of before an update count, and the new ones end up uneven.
    matchLabelKeys: [{{ . }}]
    {{- end }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "audience.selector" . | nindent 14 }}
{{- end }}
{{- end }}

{{- define "audience.priority" -}}
{{- /* (root, level) */ -}}
{{- if .root.Values.availability.priorityClasses }}
priorityClassName: {{ .root.Release.Namespace }}-{{ .level }}
{{- end }}
{{- end }}

{{- define "audience.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "audience.volume" -}}
{{- /* (name, storage): a volume of the node; claims are made by StatefulSets. */ -}}
- name: {{ .name }}
  emptyDir:
    sizeLimit: {{ .storage.size }}
    {{- if eq .storage.type "memory" }}
    medium: Memory
    {{- end }}
{{- end }}

{{- define "audience.claim" -}}
{{- /* (name, storage, labels): an entry of volumeClaimTemplates */ -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ .name }}
    labels: {{- .labels | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storage.storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests: {storage: {{ .storage.size }}}
{{- end }}

{{- define "audience.bytes" -}}
{{- /* A quantity of Gi or Mi as a number of bytes. */ -}}
{{- if hasSuffix "Gi" . }}{{ mul (trimSuffix "Gi" . | int64) 1073741824 }}
{{- else if hasSuffix "Mi" . }}{{ mul (trimSuffix "Mi" . | int64) 1048576 }}
{{- else }}{{ fail (printf "%s: a whole number of Mi or Gi is needed" .) }}{{ end -}}
{{- end }}

{{- define "audience.cores" -}}
{{- /* A quantity of CPU as a number of cores. */ -}}
{{- if hasSuffix "m" . }}{{ divf (trimSuffix "m" . | float64) 1000 }}{{ else }}{{ . | float64 }}{{ end -}}
{{- end }}

{{- define "audience.resources" -}}
{{- /* With room on the node's disk for what a container logs and keeps beside its sized volumes. */ -}}
requests: {{- merge (dict) .requests (dict "ephemeral-storage" "64Mi") | toYaml | nindent 2 }}
limits: {{- merge (dict) .limits (dict "ephemeral-storage" "8Gi") | toYaml | nindent 2 }}
{{- end }}
