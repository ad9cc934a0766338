{{/* What the schema cannot say. Included once, by prepare/job.yaml, so that nothing renders before it. */}}

{{- define "audience.validate" -}}
{{- $known := list "demo-write-key" "demo-api-token" "audience-local" "audience" "postgres" "password" "changeme" "admin" -}}
{{- if eq .Values.environment "production" -}}
{{- if .Values.prepare.demoCredentials -}}
{{- fail "prepare.demoCredentials: everybody knows the demo's credentials; a production install has its own (audience-ops sources create, audience-ops tokens create)" -}}
{{- end -}}
{{- range $area, $processes := dict "services" .Values.services "workers.list" .Values.workers.list -}}
{{- range $name, $process := $processes -}}
{{- range $variable, $value := $process.env -}}
{{- if has (toString $value) $known -}}
{{- fail (printf "%s.%s.env.%s: a value that everybody knows is refused in production" $area $name $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $store, $provider := dict "kafka" .Values.kafka.provider "postgres" .Values.postgres.provider "flink" .Values.flink.provider -}}
{{- if eq $provider "builtin" -}}
{{- fail (printf "%s.provider: builtin is one replica for a demo; production wants operator or external" $store) -}}
{{- end -}}
{{- end -}}
{{- if hasPrefix "file:" .Values.lake.url }}{{ fail "lake.url: pods on several nodes share no folder; production wants s3://" }}{{ end -}}
{{- if not .Values.tls.enabled }}{{ fail "tls.enabled: production wants TLS between all parts" }}{{ end -}}
{{- if not .Values.network.policies }}{{ fail "network.policies: production wants them" }}{{ end -}}
{{- if regexMatch "://[^/]*:[^/]*@" .Values.logging.elasticsearch.host }}{{ fail "logging.elasticsearch.host holds a password: name a Secret in credentialsSecret" }}{{ end -}}
{{- end -}}
{{- range $area, $processes := dict "services" .Values.services "workers.list" .Values.workers.list -}}
{{- range $name, $process := $processes -}}
{{- range $variable, $value := $process.env -}}
{{- if regexMatch "(PASSWORD|SECRET|TOKEN|_KEY|_DSN)$" $variable -}}
{{- fail (printf "%s.%s.env.%s: a secret does not belong among values, which `helm get values` shows" $area $name $variable) -}}
{{- end -}}
{{- end -}}
{{- if and (has "lake" $process.uses) (ne $process.enabled false) (not $.Values.lake.url) -}}
{{- fail (printf "%s.%s uses the lake: lake.url says where it is" $area $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $variable, $value := .Values.lake.env -}}
{{- if regexMatch "(PASSWORD|SECRET|TOKEN|_KEY|_KEY_ID)$" $variable -}}
{{- fail (printf "lake.env.%s: a secret does not belong among values; lake.credentialsSecret names a Secret" $variable) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.profileStore "aerospike") (eq .Values.aerospike.provider "external") (not .Values.aerospike.external.hosts) }}{{ fail "aerospike.external.hosts is needed" }}{{ end -}}
{{- if and (eq .Values.kafka.provider "external") (not .Values.kafka.external.bootstrapServers) }}{{ fail "kafka.external.bootstrapServers is needed" }}{{ end -}}
{{- if and (eq .Values.postgres.provider "external") (not .Values.postgres.secret.name) }}{{ fail "postgres.secret.name is needed: a Secret with the key uri" }}{{ end -}}
{{- if and (ne .Values.flink.provider "builtin") (hasPrefix "file:" .Values.flink.checkpoints) }}{{ fail "flink.checkpoints: JobManager and TaskManagers on several nodes share no folder; use s3://" }}{{ end -}}
{{- end }}
