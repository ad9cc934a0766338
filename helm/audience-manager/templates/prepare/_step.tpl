{{- define "audience.prepare.step" -}}
{{- /* (root, step: name and args of audience-ops) */ -}}
- name: {{ .step.name }}
  {{- include "audience.imageLines" (dict "root" .root "image" "services") | nindent 2 }}
  command: [audience-ops]
  args: {{- toYaml .step.args | nindent 4 }}
  env:
    - {name: AUDIENCE_ENVIRONMENT, value: {{ .root.Values.environment }}}
    - name: AUDIENCE_KAFKA_BOOTSTRAP_SERVERS
      value: {{ include "audience.kafka.bootstrap" (dict "root" .root) | quote }}
    - {name: AUDIENCE_TOPIC_PARTITIONS, value: {{ .root.Values.prepare.topicPartitions | quote }}}
    - {name: AUDIENCE_TOPIC_REPLICAS, value: {{ .root.Values.prepare.topicReplicas | quote }}}
    {{- include "audience.postgres.environment" .root | nindent 4 }}
  resources: {{- include "audience.resources" .root.Values.prepare.resources | nindent 4 }}
  securityContext: {{- include "audience.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- include "audience.kafka.mounts" . | nindent 4 }}
    {{- include "audience.postgres.mounts" .root | nindent 4 }}
{{- end }}
