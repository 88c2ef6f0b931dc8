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
