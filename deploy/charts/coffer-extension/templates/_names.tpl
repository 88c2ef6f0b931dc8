{{- define "coffer.labels" -}}
app.kubernetes.io/name: coffer-extension
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "coffer.selector" -}}
app.kubernetes.io/name: coffer-extension
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "coffer.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "coffer.subject" -}}
- kind: ServiceAccount
  name: coffer-extension
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Blobs are in a volume, and not in an object store. */}}
{{- define "coffer.volume" -}}
{{- if eq .Values.storageLocation.provider "filesystem" }}yes{{ end }}
{{- end }}

{{/* The volume is a claim that this chart makes. */}}
{{- define "coffer.ownClaim" -}}
{{- if and (include "coffer.volume" .) (not .Values.storageLocation.volume) }}yes{{ end }}
{{- end }}

{{/* The vault's server dials the API server by a kubeconfig, in place of a connector that dials it. */}}
{{- define "coffer.dialled" -}}
{{- if and (.Values.connector).enabled (eq (toString (.Values.connector).link) "false") }}yes{{ end }}
{{- end }}

{{/* Who is in the cluster for the vault's server. */}}
{{- define "coffer.connectorSubject" -}}
- kind: ServiceAccount
  name: {{ if include "coffer.dialled" . }}coffer-vault-server{{ else }}coffer-connector{{ end }}
  namespace: {{ .Release.Namespace }}
{{- end }}
