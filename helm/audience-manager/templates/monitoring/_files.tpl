{{- define "audience.alerts" -}}
{{- /* The rules of both: the chart's own Prometheus and the Prometheus Operator. */ -}}
groups:
  - name: audience-manager
    rules:
      - alert: ProfilesLate
        expr: max by (sink) (projection_lag_records) > 50000
        for: 10m
        labels: {severity: warning}
        annotations:
          summary: {{ `"{{ $labels.sink }} is {{ $value }} records behind"` }}
      - alert: SinkAway
        expr: min by (sink) (projection_sink_available) == 0
        for: 2m
        labels: {severity: critical}
        annotations:
          summary: {{ `"{{ $labels.sink }} takes no writes"` }}
      - alert: JobRestarts
        expr: increase(flink_jobmanager_job_numRestarts[15m]) > 3
        labels: {severity: critical}
        annotations:
          summary: The streaming job restarts again and again
      - alert: CheckpointsFail
        expr: increase(flink_jobmanager_job_numberOfFailedCheckpoints[10m]) > 5
        labels: {severity: warning}
        annotations:
          summary: The streaming job's checkpoints fail
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
