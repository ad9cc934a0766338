{{- define "audience.postgres.objectStore" }}
{{- /* (backup, path) */}}
destinationPath: {{ .path }}
{{- with .backup.endpointUrl }}
endpointURL: {{ . }}
{{- end }}
{{- with dig "credentialsSecret" "name" "" .backup }}
s3Credentials:
  accessKeyId: {name: {{ . }}, key: ACCESS_KEY_ID}
  secretAccessKey: {name: {{ . }}, key: ACCESS_SECRET_KEY}
{{- else }}
s3Credentials: {inheritFromIAMRole: true}
{{- end }}
wal: {compression: gzip}
{{- end }}
