{{- define "audience.flink.mounts" -}}
- {name: checkpoints, mountPath: {{ trimPrefix "file://" .Values.flink.checkpoints }}}
- {name: settings, mountPath: /opt/flink/conf, readOnly: true}
{{- include "audience.kafka.mounts" (dict "root" .) }}
{{- if include "audience.kafka.secure" . }}
- {name: kafka-client, mountPath: /etc/kafka-client, readOnly: true}
{{- end }}
{{- end }}
