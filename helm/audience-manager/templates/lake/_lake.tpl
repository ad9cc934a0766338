{{/* Where the lake lies: in S3, or in a folder of a claim, which all that use it mount. */}}

{{- define "audience.lake.folder" -}}
{{- if hasPrefix "file://" .Values.lake.url }}{{ trimPrefix "file://" .Values.lake.url }}{{ end -}}
{{- end }}

{{- define "audience.lake.environment" -}}
- {name: LAKE_URL, value: {{ .Values.lake.url | quote }}}
{{- with dig "credentialsSecret" "name" "" .Values.lake }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: ACCESS_KEY_ID}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: ACCESS_SECRET_KEY}
{{- end }}
{{- range $name, $value := .Values.lake.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "audience.lake.mounts" -}}
{{- with include "audience.lake.folder" . }}
- {name: lake, mountPath: {{ . }}}
{{- end }}
{{- end }}

{{- define "audience.lake.volumes" -}}
{{- if include "audience.lake.folder" . }}
- name: lake
  persistentVolumeClaim: {claimName: lake}
{{- end }}
{{- end }}
