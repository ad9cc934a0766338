{{- define "audience.aerospike.settings" }}
aerospike.conf: |
  service {
    cluster-name audience-manager
    proto-fd-max 1024
  }
  logging {
    console {
      context any info
    }
  }
  network {
    service {
      address any
      port 3000
    }
    heartbeat {
      mode mesh
      address local
      port 3002
      interval 150
      timeout 10
    }
    fabric {
      address local
      port 3001
    }
  }
  {{- range .Values.aerospike.namespaces }}
  namespace {{ .name }} {
    replication-factor {{ .replicationFactor | default 1 }}
    default-ttl 0
    nsup-period 120
    indexes-memory-budget {{ .indexesMemoryBudget | replace "i" "" }}
    index-stage-size 128M
    sindex-stage-size 128M
    storage-engine memory {
      data-size {{ .dataSize | replace "i" "" }}
      evict-used-pct 60
      stop-writes-used-pct 70
    }
  }
  {{- end }}
{{- end }}
