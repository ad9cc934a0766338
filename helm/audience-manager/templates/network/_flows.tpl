{{/*
Who calls whom, once: the network policies of both sides are made from this list, and tests/chart compares it with
docs/architecture.md. A flow is (from, to, ports). A name that begins with @ is outside of the release.
*/}}

{{- define "audience.flows" -}}
{{- $values := .Values -}}
{{- $flows := list -}}
{{- $kafka := ternary (dict "to" "kafka" "ports" (list 9092)) (dict "to" "kafka" "ports" (list 9093)) (eq $values.kafka.provider "builtin") -}}
{{- if eq $values.kafka.provider "external" }}{{ $kafka = dict "to" "@kafka" "ports" $values.kafka.external.ports }}{{ end -}}
{{- $postgres := dict "to" "postgres" "ports" (list 5432) -}}
{{- if eq $values.postgres.provider "external" }}{{ $postgres = dict "to" "@postgres" "ports" (list (int $values.postgres.external.port)) }}{{ end -}}
{{- $aerospike := dict "to" "aerospike" "ports" (list 3000) -}}
{{- if eq $values.aerospike.provider "external" }}{{ $aerospike = dict "to" "@aerospike" "ports" (list (int $values.aerospike.external.port)) }}{{ end -}}
{{- $systems := dict "kafka" $kafka "postgres" $postgres "aerospike" $aerospike "lake" (dict "to" "@object-storage" "ports" (list 443)) -}}
{{- $scraped := list -}}
{{- /* Our processes. */ -}}
{{- range $pod := (include "audience.pods" . | fromYaml).pods -}}
{{- range $used := (include "audience.pod.uses" (dict "root" $ "pod" $pod) | fromYaml).uses -}}
{{- if and (eq $used "lake") (include "audience.lake.folder" $) -}}
{{- /* A folder is reached by no network. */ -}}
{{- else if hasKey $systems $used -}}
{{- $flows = append $flows (merge (dict "from" $pod.name) (get $systems $used)) -}}
{{- else -}}
{{- $flows = append $flows (dict "from" $pod.name "to" $used "ports" (list (int (get $values.services $used).port))) -}}
{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range $pod.processes }}{{ $ports = append $ports (int .port) }}{{ end -}}
{{- $scraped = append $scraped (dict "to" $pod.name "ports" $ports) -}}
{{- if $pod.service -}}
{{- if gt (int $pod.first.nodePort) 0 }}{{ $flows = append $flows (dict "from" "@nodes" "to" $pod.name "ports" $ports) }}{{ end -}}
{{- if dig "ingress" "enabled" false $pod.first }}{{ $flows = append $flows (dict "from" "@ingress" "to" $pod.name "ports" $ports) }}{{ end -}}
{{- if and $values.tests.enabled (has $pod.name (list "ingest-api" "segment-api")) }}{{ $flows = append $flows (dict "from" "test" "to" $pod.name "ports" $ports) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $flows = append $flows (merge (dict "from" "prepare") $kafka) -}}
{{- $flows = append $flows (merge (dict "from" "prepare") $postgres) -}}
{{- if $values.verify.enabled -}}
{{- $flows = append $flows (merge (dict "from" "verify") $kafka) -}}
{{- $flows = append $flows (merge (dict "from" "verify") $postgres) -}}
{{- if eq $values.profileStore "aerospike" }}{{ $flows = append $flows (merge (dict "from" "verify") $aerospike) }}{{ end -}}
{{- end -}}
{{- /* Flink. */ -}}
{{- if eq $values.flink.provider "builtin" -}}
{{- $flows = append $flows (merge (dict "from" "flink") $kafka) -}}
{{- $scraped = append $scraped (dict "to" "flink" "ports" (list 9249 9250)) -}}
{{- else if eq $values.flink.provider "operator" -}}
{{- $flows = append $flows (dict "from" "flink-taskmanager" "to" "flink-jobmanager" "ports" (list 6123 6124)) -}}
{{- $flows = append $flows (dict "from" "flink-jobmanager" "to" "flink-taskmanager" "ports" (list 6122)) -}}
{{- $flows = append $flows (dict "from" "flink-taskmanager" "to" "flink-taskmanager" "ports" (list 6121)) -}}
{{- $flows = append $flows (dict "from" "@operators" "to" "flink-jobmanager" "ports" (list 8081)) -}}
{{- range $part := list "flink-jobmanager" "flink-taskmanager" -}}
{{- $flows = append $flows (merge (dict "from" $part) $kafka) -}}
{{- $flows = append $flows (dict "from" $part "to" "@object-storage" "ports" (list 443)) -}}
{{- $flows = append $flows (dict "from" $part "to" "@kubernetes" "ports" (list 443 6443)) -}}
{{- $scraped = append $scraped (dict "to" $part "ports" (list 9249)) -}}
{{- end -}}
{{- end -}}
{{- /* The stores among themselves, and with their operators. */ -}}
{{- if eq $values.kafka.provider "operator" -}}
{{- $flows = append $flows (dict "from" "kafka" "to" "kafka" "ports" (list 9090 9091 9093)) -}}
{{- $flows = append $flows (dict "from" "kafka" "to" "@kubernetes" "ports" (list 443 6443)) -}}
{{- range $helper := list "kafka-operator" "kafka-exporter" -}}
{{- $flows = append $flows (dict "from" $helper "to" "kafka" "ports" (list 9090 9091)) -}}
{{- end -}}
{{- $flows = append $flows (dict "from" "kafka-operator" "to" "@kubernetes" "ports" (list 443 6443)) -}}
{{- $flows = append $flows (dict "from" "@operators" "to" "kafka" "ports" (list 8443 9090 9091)) -}}
{{- $scraped = append $scraped (dict "to" "kafka-exporter" "ports" (list 9404)) -}}
{{- $scraped = append $scraped (dict "to" "kafka" "ports" (list 9404)) -}}
{{- if $values.kafka.mirror.enabled -}}
{{- $flows = append $flows (dict "from" "kafka-mirror" "to" "kafka" "ports" (list 9093)) -}}
{{- $flows = append $flows (dict "from" "kafka-mirror" "to" "kafka-mirror" "ports" (list 8083)) -}}
{{- $flows = append $flows (dict "from" "kafka-mirror" "to" "@kafka" "ports" (list 9093 9094 443)) -}}
{{- $flows = append $flows (dict "from" "@operators" "to" "kafka-mirror" "ports" (list 8083)) -}}
{{- end -}}
{{- else if and (eq $values.kafka.provider "builtin") (gt (int $values.kafka.nodePort) 0) -}}
{{- $flows = append $flows (dict "from" "@nodes" "to" "kafka" "ports" (list 9094)) -}}
{{- end -}}
{{- if eq $values.postgres.provider "operator" -}}
{{- $flows = append $flows (dict "from" "postgres" "to" "postgres" "ports" (list 5432 8000)) -}}
{{- $flows = append $flows (dict "from" "postgres" "to" "@kubernetes" "ports" (list 443 6443)) -}}
{{- $flows = append $flows (dict "from" "@operators" "to" "postgres" "ports" (list 5432 8000)) -}}
{{- if $values.postgres.backup.enabled -}}
{{- $flows = append $flows (dict "from" "postgres" "to" "@object-storage" "ports" (list 443)) -}}
{{- end -}}
{{- $scraped = append $scraped (dict "to" "postgres" "ports" (list 9187)) -}}
{{- else if and (eq $values.postgres.provider "builtin") (gt (int $values.postgres.nodePort) 0) -}}
{{- $flows = append $flows (dict "from" "@nodes" "to" "postgres" "ports" (list 5432)) -}}
{{- end -}}
{{- if and (eq $values.profileStore "aerospike") (eq $values.aerospike.provider "operator") -}}
{{- $flows = append $flows (dict "from" "aerospike" "to" "aerospike" "ports" (list 3000 3001 3002)) -}}
{{- $flows = append $flows (dict "from" "aerospike" "to" "@kubernetes" "ports" (list 443 6443)) -}}
{{- $flows = append $flows (dict "from" "@operators" "to" "aerospike" "ports" (list 3000)) -}}
{{- end -}}
{{- /* Those who watch. */ -}}
{{- range $scraped -}}
{{- if $values.monitoring.prometheus.enabled }}{{ $flows = append $flows (merge (dict "from" "prometheus") .) }}{{ end -}}
{{- if $values.monitoring.serviceMonitors }}{{ $flows = append $flows (merge (dict "from" "@monitoring") .) }}{{ end -}}
{{- end -}}
{{- if $values.logging.enabled -}}
{{- $flows = append $flows (dict "from" "fluent-bit" "to" "@elasticsearch" "ports" (list (int ($values.logging.elasticsearch.port | default 9200)))) -}}
{{- $flows = append $flows (dict "from" "fluent-bit" "to" "@kubernetes" "ports" (list 443 6443)) -}}
{{- end -}}
{{- dict "flows" $flows | toYaml -}}
{{- end }}

{{- define "audience.outside" -}}
{{- /* (root, name): a peer outside of the release, as `from` and `to` of a policy take it. */ -}}
{{- $sources := .root.Values.network.sources | default dict -}}
{{- $peers := list -}}
{{- $namespaces := dict "@ingress" $sources.ingress "@monitoring" $sources.monitoring "@operators" $sources.operators -}}
{{- if hasKey $namespaces .name -}}
{{- range (get $namespaces .name) | default list -}}
{{- $peers = append $peers (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" .))) -}}
{{- end -}}
{{- else -}}
{{- $cidrs := dict
  "@nodes" (.root.Values.network.nodeCidrs | default (list "0.0.0.0/0"))
  "@object-storage" (.root.Values.network.objectStorageCidrs | default (list "0.0.0.0/0"))
  "@kubernetes" (list "0.0.0.0/0")
  "@kafka" (list "0.0.0.0/0")
  "@postgres" (list (dig "external" "hostsCidr" "0.0.0.0/0" .root.Values.postgres))
  "@aerospike" (list (dig "external" "cidr" "0.0.0.0/0" .root.Values.aerospike))
  "@elasticsearch" (.root.Values.logging.elasticsearch.cidrs | default (list "0.0.0.0/0")) -}}
{{- range get $cidrs .name -}}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) -}}
{{- end -}}
{{- end -}}
{{- dict "peers" $peers | toYaml -}}
{{- end }}

{{- define "audience.peers" -}}
{{- /* (root, name) */ -}}
{{- if hasPrefix "@" .name -}}
{{- (include "audience.outside" . | fromYaml).peers | toYaml -}}
{{- else -}}
- podSelector:
    matchLabels: {app.kubernetes.io/component: {{ .name }}}
{{- end -}}
{{- end }}
