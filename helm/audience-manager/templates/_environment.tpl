{{/* What our programs are told: the same variables as `make up` gives them. */}}

{{- define "audience.kafka.secure" -}}
{{- if or (eq .Values.kafka.provider "operator") (and (eq .Values.kafka.provider "external") .Values.kafka.external.clientSecret.name) }}yes{{ end }}
{{- end }}

{{- define "audience.kafka.bootstrap" -}}
{{- /* (root, files: folder of ca.crt, user.crt, user.key, or combined: one file of the last two) */ -}}
{{- $kafka := .root.Values.kafka -}}
{{- $servers := "kafka:9092" -}}
{{- if eq $kafka.provider "operator" }}{{ $servers = printf "kafka-kafka-bootstrap.%s.svc:9093" .root.Release.Namespace }}{{ end -}}
{{- if eq $kafka.provider "external" }}{{ $servers = $kafka.external.bootstrapServers }}{{ end -}}
{{- if include "audience.kafka.secure" .root -}}
{{- $certificate := .combined | default "/etc/kafka-user/user.crt" -}}
{{- $key := .combined | default "/etc/kafka-user/user.key" -}}
ssl://{{ $servers }}?ca=/etc/kafka-ca/ca.crt&certificate={{ $certificate }}&key={{ $key }}
{{- else -}}
{{ $servers }}
{{- end -}}
{{- end }}

{{- define "audience.kafka.caSecret" -}}
{{- if eq .Values.kafka.provider "operator" }}kafka-cluster-ca-cert{{ else }}{{ .Values.kafka.external.clientSecret.name }}{{ end }}
{{- end }}

{{- define "audience.kafka.userSecret" -}}
{{- /* (root, user) */ -}}
{{- if eq .root.Values.kafka.provider "operator" }}kafka-user-{{ .user }}{{ else }}{{ .root.Values.kafka.external.clientSecret.name }}{{ end }}
{{- end }}

{{- define "audience.kafka.volumes" -}}
{{- /* (root, user) */ -}}
{{- if include "audience.kafka.secure" .root }}
- name: kafka-ca
  secret:
    secretName: {{ include "audience.kafka.caSecret" .root }}
    items: [{key: ca.crt, path: ca.crt}]
- name: kafka-user
  secret:
    secretName: {{ include "audience.kafka.userSecret" . }}
    items: [{key: user.crt, path: user.crt}, {key: user.key, path: user.key}]
    defaultMode: 0440
{{- end }}
{{- end }}

{{- define "audience.kafka.mounts" -}}
{{- if include "audience.kafka.secure" .root }}
- {name: kafka-ca, mountPath: /etc/kafka-ca, readOnly: true}
- {name: kafka-user, mountPath: /etc/kafka-user, readOnly: true}
{{- end }}
{{- end }}

{{- define "audience.postgres.secret" -}}
{{- if .Values.postgres.secret.name }}{{ .Values.postgres.secret.name }}
{{- else if eq .Values.postgres.provider "operator" }}postgres-app
{{- else }}postgres{{ end }}
{{- end }}

{{- define "audience.postgres.parameters" -}}
{{- if eq .Values.postgres.provider "operator" -}}
?sslmode=verify-full&sslrootcert=/etc/postgres-ca/ca.crt
{{- else if eq .Values.postgres.provider "external" -}}
{{ .Values.postgres.external.parameters }}
{{- end -}}
{{- end }}

{{- define "audience.postgres.environment" -}}
- name: POSTGRES_URI
  valueFrom:
    secretKeyRef: {name: {{ include "audience.postgres.secret" . }}, key: uri}
- name: AUDIENCE_POSTGRES_DSN
  value: "$(POSTGRES_URI){{ include "audience.postgres.parameters" . }}"
{{- end }}

{{- define "audience.postgres.volumes" -}}
{{- if eq .Values.postgres.provider "operator" }}
- name: postgres-ca
  secret:
    secretName: postgres-ca
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end }}

{{- define "audience.postgres.mounts" -}}
{{- if eq .Values.postgres.provider "operator" }}
- {name: postgres-ca, mountPath: /etc/postgres-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "audience.aerospike.hosts" -}}
{{- if eq .Values.aerospike.provider "external" }}{{ .Values.aerospike.external.hosts }}{{ else }}aerospike:3000{{ end }}
{{- end }}

{{- define "audience.process.uses" -}}
{{- /* (root, process): what it reaches in this install, as words */ -}}
{{- $found := list -}}
{{- range .process.uses -}}
{{- if and (eq . "profileStore") (eq $.root.Values.profileStore "postgres") }}{{ $found = append $found "postgres" }}
{{- else if eq . "profileStore" }}{{ $found = append $found "aerospike" }}
{{- else }}{{ $found = append $found . }}{{ end -}}
{{- end -}}
{{- dict "uses" ($found | uniq) | toYaml -}}
{{- end }}

{{- define "audience.process.environment" -}}
{{- /* (root, process) */ -}}
{{- $uses := (include "audience.process.uses" . | fromYaml).uses -}}
- {name: AUDIENCE_ENVIRONMENT, value: {{ .root.Values.environment }}}
- {name: AUDIENCE_LOG_LEVEL, value: {{ .root.Values.logLevel }}}
- {name: AUDIENCE_HOST, value: "0.0.0.0"}
- {name: AUDIENCE_PORT, value: {{ .process.port | quote }}}
{{- if has "kafka" $uses }}
- name: AUDIENCE_KAFKA_BOOTSTRAP_SERVERS
  value: {{ include "audience.kafka.bootstrap" (dict "root" .root) | quote }}
{{- end }}
{{- if has "postgres" $uses }}
{{ include "audience.postgres.environment" .root }}
{{- end }}
{{- if has "aerospike" $uses }}
- {name: AEROSPIKE_HOSTS, value: {{ include "audience.aerospike.hosts" .root | quote }}}
{{- with dig "credentialsSecret" "name" "" .root.Values.aerospike }}
- name: AEROSPIKE_USER
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: user}
- name: AEROSPIKE_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: password}
{{- end }}
{{- end }}
{{- if has "lake" $uses }}
{{ include "audience.lake.environment" .root }}
{{- end }}
{{- if has "ingest-api" $uses }}
- {name: AUDIENCE_INGEST_URL, value: "{{ ternary "https" "http" .root.Values.tls.enabled }}://ingest-api:{{ (get .root.Values.services "ingest-api").port }}"}
{{- end }}
{{- if .root.Values.tls.enabled }}
- {name: AUDIENCE_TLS_CERTIFICATE, value: /etc/tls/tls.crt}
- {name: AUDIENCE_TLS_KEY, value: /etc/tls/tls.key}
{{- end }}
{{- with .process.spool }}{{- if .enabled }}
- {name: AUDIENCE_INGEST_SPOOL, value: /var/spool/audience}
- {name: AUDIENCE_INGEST_SPOOL_MIB, value: {{ .sizeMib | quote }}}
{{- end }}{{- end }}
{{- range $name, $value := .process.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
