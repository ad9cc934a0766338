{{- define "audience.kafka.settingsName" -}}
{{- /* The content's hash in the name: a changed setting is a new ConfigMap, and so a new pod; a rollback finds the old. */ -}}
kafka-{{ include "audience.kafka.settings" . | sha256sum | trunc 8 }}
{{- end }}

{{- define "audience.kafka.settings" -}}
{{- $kafka := .Values.kafka -}}
{{- $outside := gt (int $kafka.nodePort) 0 -}}
server.properties: |
  process.roles=broker,controller
  node.id=1
  controller.quorum.voters=1@localhost:9093
  listeners=PLAINTEXT://:9092,CONTROLLER://localhost:9093{{ if $outside }},OUTSIDE://:9094{{ end }}
  advertised.listeners=PLAINTEXT://kafka:9092{{ if $outside }},OUTSIDE://{{ required "kafka.nodeAddress is needed with kafka.nodePort" $kafka.nodeAddress }}:{{ $kafka.nodePort }}{{ end }}
  listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OUTSIDE:PLAINTEXT
  controller.listener.names=CONTROLLER
  inter.broker.listener.name=PLAINTEXT
  log.dirs=/data/log
  num.partitions={{ $kafka.partitions }}
  default.replication.factor={{ $kafka.replicationFactor }}
  log.retention.hours={{ $kafka.retentionHours }}
  offsets.topic.replication.factor=1
  offsets.topic.num.partitions=4
  transaction.state.log.replication.factor=1
  transaction.state.log.min.isr=1
  transaction.state.log.num.partitions=4
  share.coordinator.state.topic.replication.factor=1
  share.coordinator.state.topic.min.isr=1
  share.coordinator.state.topic.num.partitions=4
  # Topics are made by audience-ops with their own settings, never by a client's typing error.
  auto.create.topics.enable=false
  group.initial.rebalance.delay.ms=0
  # Of the heap, the cleaner would take 128 MiB for compaction at once.
  log.cleaner.dedupe.buffer.size=16777216
  log.segment.bytes=134217728
  num.recovery.threads.per.data.dir=2
  controlled.shutdown.enable=false
log4j2.properties: |
  appender.console.type = Console
  appender.console.name = console
  appender.console.layout.type = PatternLayout
  appender.console.layout.pattern = [%d] %p %m (%c)%n
  rootLogger.level = INFO
  rootLogger.appenderRef.console.ref = console
{{- end }}
