{{- define "server.labels" -}}
{{ include "server.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "server.selector" -}}
app.kubernetes.io/name: coffer-server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "server.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Where the server keeps its files. */}}
{{- define "server.data" -}}
/var/lib/coffer
{{- end }}

{{- define "server.claim" -}}
{{ .Values.persistence.existingClaim | default "coffer-server" }}
{{- end }}

{{- define "server.postgres" -}}
{{- if eq .Values.database.type "postgres" }}yes{{ end }}
{{- end }}

{{- define "server.several" -}}
{{- if gt (int .Values.replicas) 1 }}yes{{ end }}
{{- end }}

{{/* By which name it is known, where no url says it. */}}
{{- define "server.host" -}}
coffer-server.{{ .Release.Namespace }}.svc
{{- end }}

{{/* All names that the server's own certificate has, a line each. The first is the one that tokens are issued in. */}}
{{- define "server.hostnames" -}}
{{- $host := include "server.host" . }}
{{- $names := list }}
{{- with .Values.url }}
{{- $names = append $names (regexReplaceAll "^https://\\[?([^]/]*?)\\]?(:[0-9]+)?$" . "${1}") }}
{{- end }}
{{- $names = concat $names (list $host (printf "%s.%s" $host .Values.clusterDomain) (trimSuffix ".svc" $host) "coffer-server") }}
{{- $names = concat $names .Values.hostnames (list "localhost" "127.0.0.1" "::1") }}
{{- join "\n" (uniq $names) }}
{{- end }}
