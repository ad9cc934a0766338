{{- define "audience.alerts" -}}
{{- /* The rules of both: the chart's own Prometheus and the Prometheus Operator. */ -}}
{{ .Files.Get "files/alerts.yml" }}
{{- end }}

{{- define "audience.prometheus.files" -}}
prometheus.yml: |
  global: {scrape_interval: 15s}
  rule_files: [/settings/rules.yml]
  scrape_configs:
    {{- range $pod := (include "audience.pods" . | fromYaml).pods }}
    - job_name: {{ $pod.name }}
      static_configs:
        - targets: [{{ range $i, $name := keys $pod.processes | sortAlpha }}{{ if $i }}, {{ end }}{{ $pod.name }}:{{ (get $pod.processes $name).port }}{{ end }}]
    {{- end }}
    {{- if eq .Values.flink.provider "builtin" }}
    - job_name: flink
      static_configs:
        - targets: [flink:9249, flink:9250]
    {{- end }}
rules.yml: |
  {{- include "audience.alerts" . | nindent 2 }}
{{- end }}
