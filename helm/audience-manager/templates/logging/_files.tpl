{{- define "audience.logging.files" -}}
{{- $elastic := .Values.logging.elasticsearch -}}
fluent-bit.yaml: |
  service: {http_server: true, http_port: 2020, health_check: true, storage.path: /state}
  pipeline:
    inputs:
      - name: tail
        path: /var/log/containers/*_{{ .Release.Namespace }}_*.log
        multiline.parser: docker, cri
        db: /state/positions.db
        mem_buf_limit: 32MB
    outputs:
      - name: es
        match: "*"
        host: {{ $elastic.host }}
        port: {{ $elastic.port | default 9200 }}
        index: {{ $elastic.index | default "audience-manager" }}
        tls: true
        suppress_type_name: true
        {{- if $elastic.credentialsSecret }}
        http_user: ${ELASTIC_USER}
        http_passwd: ${ELASTIC_PASSWORD}
        {{- end }}
{{- end }}
