{{/* Our processes as pods. */}}

{{- define "audience.pods" -}}
{{- /* The pods of this install: name, the processes in each, and what belongs to the pod as a whole. */ -}}
{{- $pods := list -}}
{{- range $name, $process := .Values.services -}}
{{- if ne $process.enabled false -}}
{{- $pods = append $pods (dict "name" $name "processes" (dict $name $process) "first" $process "service" true) -}}
{{- end -}}
{{- end -}}
{{- $workers := dict -}}
{{- range $name, $process := .Values.workers.list -}}
{{- if ne $process.enabled false }}{{ $_ := set $workers $name $process }}{{ end -}}
{{- end -}}
{{- if and .Values.workers.together $workers -}}
{{- $pods = append $pods (dict "name" "worker" "processes" $workers "first" (include "audience.together" $workers | fromYaml) "service" false) -}}
{{- else -}}
{{- range $name, $process := $workers -}}
{{- $pods = append $pods (dict "name" $name "processes" (dict $name $process) "first" $process "service" false) -}}
{{- end -}}
{{- end -}}
{{- dict "pods" $pods | toYaml -}}
{{- end }}

{{- define "audience.together" -}}
{{- /* (processes): what belongs to the pod in which they are together */ -}}
{{- $annotations := dict -}}
{{- range . }}{{ $annotations = merge $annotations (.serviceAccountAnnotations | default dict) }}{{ end -}}
{{- dict "priority" "background" "serviceAccountAnnotations" $annotations | toYaml -}}
{{- end }}

{{- define "audience.pod.uses" -}}
{{- /* (root, pod): what its processes reach together */ -}}
{{- $found := list -}}
{{- range .pod.processes -}}
{{- $found = concat $found (include "audience.process.uses" (dict "root" $.root "process" .) | fromYaml).uses -}}
{{- end -}}
{{- dict "uses" ($found | uniq) | toYaml -}}
{{- end }}

{{- define "audience.pod.stateful" -}}
{{- with .pod.first.spool }}{{ if and .enabled (eq .storage.type "persistentVolumeClaim") }}yes{{ end }}{{ end -}}
{{- end }}

{{- define "audience.process.container" -}}
{{- /* (root, name, process) */ -}}
{{- $scheme := ternary "HTTPS" "HTTP" .root.Values.tls.enabled -}}
- name: {{ .name }}
  {{- include "audience.imageLines" (dict "root" .root "image" "services") | nindent 2 }}
  command: [python, -m, {{ .process.module }}]
  env: {{- include "audience.process.environment" . | nindent 4 }}
  ports:
    - {name: http-{{ .process.port }}, containerPort: {{ .process.port }}}
  # Started: the process answers. Ready: what it needs answers too. Alive: it still answers; a store that is away is no
  # reason to restart it.
  startupProbe:
    httpGet: {path: /healthz, port: http-{{ .process.port }}, scheme: {{ $scheme }}}
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 90
  readinessProbe:
    httpGet: {path: /readyz, port: http-{{ .process.port }}, scheme: {{ $scheme }}}
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 3
  livenessProbe:
    httpGet: {path: /healthz, port: http-{{ .process.port }}, scheme: {{ $scheme }}}
    periodSeconds: 10
    timeoutSeconds: 10
    failureThreshold: 6
  lifecycle:
    # Time for every proxy to learn that the pod takes no new connections; then it answers what is in flight.
    preStop: {sleep: {seconds: 5}}
  resources: {{- include "audience.resources" .process.resources | nindent 4 }}
  securityContext: {{- include "audience.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: tmp-{{ .name }}, mountPath: /tmp}
    {{- include "audience.kafka.mounts" . | nindent 4 }}
    {{- include "audience.postgres.mounts" .root | nindent 4 }}
    {{- if has "lake" .process.uses }}
    {{- include "audience.lake.mounts" .root | nindent 4 }}
    {{- end }}
    {{- if .root.Values.tls.enabled }}
    - {name: tls, mountPath: /etc/tls, readOnly: true}
    {{- end }}
    {{- with .process.spool }}{{- if .enabled }}
    - {name: spool, mountPath: /var/spool/audience}
    {{- end }}{{- end }}
{{- end }}

{{- define "audience.pod.template" -}}
{{- /* (root, pod) */ -}}
{{- $root := .root -}}
{{- $selector := dict "root" .root "component" .pod.name -}}
{{- $revision := ternary "controller-revision-hash" "pod-template-hash" (eq (include "audience.pod.stateful" .) "yes") -}}
metadata:
  labels: {{- include "audience.labels" $selector | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ first (keys .pod.processes | sortAlpha) }}
spec:
  serviceAccountName: {{ .pod.name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # 5 s until nobody calls any more, 20 s to answer what is in flight, and a margin.
  terminationGracePeriodSeconds: 40
  securityContext: {{- include "audience.podSecurity" (dict "id" 10001) | nindent 4 }}
  {{- include "audience.pullSecrets" .root | nindent 2 }}
  {{- include "audience.priority" (dict "root" .root "level" (.pod.first.priority | default "serving")) | nindent 2 }}
  {{- include "audience.spread" (merge (dict "revision" $revision) $selector) | nindent 2 }}
  containers:
    {{- range $name, $process := .pod.processes }}
    {{- include "audience.process.container" (dict "root" $root "name" $name "process" $process) | nindent 4 }}
    {{- end }}
  volumes:
    {{- range $name, $process := .pod.processes }}
    - name: tmp-{{ $name }}
      emptyDir: {sizeLimit: {{ $process.temporarySize | default "64Mi" }}}
    {{- end }}
    {{- include "audience.kafka.volumes" (dict "root" .root "user" .pod.name) | nindent 4 }}
    {{- include "audience.postgres.volumes" .root | nindent 4 }}
    {{- if has "lake" (include "audience.pod.uses" . | fromYaml).uses }}
    {{- include "audience.lake.volumes" .root | nindent 4 }}
    {{- end }}
    {{- if .root.Values.tls.enabled }}
    - name: tls
      secret: {secretName: tls-{{ .pod.name }}, defaultMode: 0440}
    {{- end }}
    {{- with .pod.first.spool }}{{- if and .enabled (ne .storage.type "persistentVolumeClaim") }}
    {{- include "audience.volume" (dict "name" "spool" "storage" .storage) | nindent 4 }}
    {{- end }}{{- end }}
{{- end }}
