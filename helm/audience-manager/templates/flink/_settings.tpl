{{- define "audience.flink.javaOptions" -}}
{{- /* The doors that Flink and Arrow need opened in newer JVMs: from the distribution's own configuration. */ -}}
--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED --add-exports=jdk.compiler/com.sun.tools.javac.api=ALL-UNNAMED --add-exports=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED --add-exports=jdk.compiler/com.sun.tools.javac.parser=ALL-UNNAMED --add-exports=jdk.compiler/com.sun.tools.javac.tree=ALL-UNNAMED --add-exports=jdk.compiler/com.sun.tools.javac.util=ALL-UNNAMED --add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.net=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/java.lang.reflect=ALL-UNNAMED --add-opens=java.base/java.text=ALL-UNNAMED --add-opens=java.base/java.time=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.util.concurrent=ALL-UNNAMED --add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED --add-opens=java.base/java.util.concurrent.locks=ALL-UNNAMED
{{- end }}

{{- define "audience.flink.settings" -}}
{{- /* What both providers give Flink, flat. Every value is a string. */ -}}
{{- $flink := .Values.flink -}}
taskmanager.numberOfTaskSlots: {{ $flink.taskManager.slots | quote }}
parallelism.default: {{ $flink.parallelism | quote }}
jobmanager.memory.process.size: {{ $flink.jobManager.memory }}
taskmanager.memory.process.size: {{ $flink.taskManager.memory }}
state.backend.type: {{ $flink.stateBackend }}
state.backend.rocksdb.memory.managed: "true"
{{- if hasPrefix "s3" $flink.checkpoints }}
execution.checkpointing.incremental: "true"
{{- end }}
execution.checkpointing.interval: {{ $flink.checkpointIntervalMs }} ms
execution.checkpointing.dir: {{ $flink.checkpoints }}
{{- with $flink.savepoints }}
execution.checkpointing.savepoint-dir: {{ . }}
{{- end }}
execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
execution.checkpointing.num-retained: "2"
execution.checkpointing.timeout: 60 s
# One that failed is followed by the next; it is no reason to begin again.
execution.checkpointing.tolerable-failed-checkpoints: "100"
{{- with $flink.s3Endpoint }}
s3.endpoint: {{ . }}
s3.path-style-access: "true"
{{- end }}
python.execution-mode: thread
python.executable: /opt/venv/bin/python
python.client.executable: /opt/venv/bin/python
web.submit.enable: "false"
web.cancel.enable: "false"
heartbeat.interval: "2000"
heartbeat.timeout: "15000"
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: "2147483647"
restart-strategy.fixed-delay.delay: 1 s
metrics.reporters: prom
metrics.reporter.prom.factory.class: org.apache.flink.metrics.prometheus.PrometheusReporterFactory
metrics.reporter.prom.port: 9249-9250
env.java.opts.all: {{ include "audience.flink.javaOptions" . }}
{{- end }}

{{- define "audience.flink.builtinSettings" -}}
{{- $settings := include "audience.flink.settings" . | fromYaml -}}
{{- $own := dict
  "jobmanager.rpc.address" "localhost" "jobmanager.bind-host" "localhost"
  "rest.address" "localhost" "rest.bind-address" "0.0.0.0" "rest.port" "8081"
  "taskmanager.host" "localhost" "taskmanager.bind-host" "0.0.0.0" "taskmanager.rpc.port" "6122"
  "taskmanager.resource-id" "taskmanager"
  "io.tmp.dirs" "/tmp"
  "jobmanager.memory.jvm-metaspace.size" "176m" "jobmanager.memory.off-heap.size" "64m"
  "jobmanager.memory.jvm-overhead.min" "64m" "jobmanager.memory.jvm-overhead.max" "64m"
  "taskmanager.memory.jvm-metaspace.size" "128m" "taskmanager.memory.jvm-overhead.min" "64m"
  "taskmanager.memory.jvm-overhead.max" "64m" "taskmanager.memory.network.min" "32m"
  "taskmanager.memory.network.max" "32m" "taskmanager.memory.framework.off-heap.size" "48m"
  "taskmanager.memory.framework.heap.size" "128m" "taskmanager.memory.managed.size" "128m"
  "env.java.opts.jobmanager" "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m"
  "env.java.opts.taskmanager" "-XX:+UseSerialGC -Xms128m -XX:MinHeapFreeRatio=10 -XX:MaxHeapFreeRatio=20"
-}}
{{- range $name, $value := merge (dict) (.Values.flink.settings | default dict) $own $settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "audience.flink.files" -}}
config.yaml: |
  {{- include "audience.flink.builtinSettings" . | nindent 2 }}
log4j-console.properties: |
  rootLogger.level = INFO
  rootLogger.appenderRef.console.ref = console
  appender.console.name = console
  appender.console.type = CONSOLE
  appender.console.layout.type = PatternLayout
  appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
  # A checkpoint a second would be most of the log.
  logger.checkpoints.name = org.apache.flink.runtime.checkpoint.CheckpointCoordinator
  logger.checkpoints.level = WARN
  logger.kafka.name = org.apache.flink.kafka.shaded
  logger.kafka.level = WARN
  logger.metrics.name = org.apache.flink.metrics.MetricGroup
  logger.metrics.level = ERROR
{{- end }}

{{- define "audience.flink.filesName" -}}
flink-{{ include "audience.flink.files" . | sha256sum | trunc 8 }}
{{- end }}

{{- define "audience.flink.job" -}}/opt/venv/lib/python3.11/site-packages/flink_jobs/rule_evaluation/__main__.py{{- end }}

{{- define "audience.flink.environment" -}}
- {name: AUDIENCE_ENVIRONMENT, value: {{ .Values.environment }}}
- name: AUDIENCE_KAFKA_BOOTSTRAP_SERVERS
  value: {{ include "audience.kafka.bootstrap" (dict "root" . "combined" "/etc/kafka-client/client.pem") | quote }}
- {name: AUDIENCE_PARALLELISM, value: {{ .Values.flink.parallelism | quote }}}
- {name: AUDIENCE_CHECKPOINT_INTERVAL_MS, value: {{ .Values.flink.checkpointIntervalMs | quote }}}
{{- range $name, $value := .Values.flink.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "audience.flink.kafkaKey" -}}
{{- /* Kafka's Java client wants key and certificate in one file. */ -}}
- name: kafka-key
  {{- include "audience.imageLines" (dict "root" . "image" "flink") | nindent 2 }}
  command: [sh, -ec, "umask 077; cat /etc/kafka-user/user.key /etc/kafka-user/user.crt > /etc/kafka-client/client.pem"]
  resources: {requests: {cpu: 10m, memory: 16Mi, ephemeral-storage: 16Mi}, limits: {cpu: 100m, memory: 32Mi, ephemeral-storage: 1Gi}}
  securityContext: {{- include "audience.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- include "audience.kafka.mounts" (dict "root" .) | nindent 4 }}
    - {name: kafka-client, mountPath: /etc/kafka-client}
{{- end }}
