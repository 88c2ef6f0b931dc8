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

{{- define "coffer.connectorSubject" -}}
- kind: ServiceAccount
  name: coffer-connector
  namespace: {{ .Release.Namespace }}
{{- end }}
