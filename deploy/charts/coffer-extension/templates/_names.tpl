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

{{/* What a location is named by: of the values, or of a spec. */}}
{{- define "coffer.locationName" -}}
{{- $own := get . .provider | default dict }}
{{- printf "%s %s %s %s" .provider .container ($own.storageAccount | default "") ($own.endpoint | default "") }}
{{- end }}

{{/* The settings of the extension's resource have changed the location from what these values say, where the cluster's owner lets them: it stays so, and
does not go back with each upgrade. Other values go before it. */}}
{{- define "coffer.locationIsSettled" -}}
{{- if and (.Values.connector).enabled (.Values.connector).allowSettingsByOwner (not (include "coffer.dialled" .)) }}
{{- $live := lookup "clusterbackup.dataprotection.microsoft.com/v1alpha1" "BackupStorageLocation" .Release.Namespace .Values.storageLocation.name }}
{{- with dig "metadata" "annotations" "clusterbackup.dataprotection.microsoft.com/settings" "" $live }}
{{- $note := fromJson . }}
{{- $from := printf "%s %s %s %s" $note.from.provider $note.from.container ($note.from.storageAccount | default "") ($note.from.endpoint | default "") }}
{{- $to := printf "%s %s %s %s" $note.to.provider $note.to.container ($note.to.storageAccount | default "") ($note.to.endpoint | default "") }}
{{- if and (eq $from (include "coffer.locationName" $.Values.storageLocation)) (eq $to (include "coffer.locationName" $live.spec)) }}yes{{ end }}
{{- end }}
{{- end }}
{{- end }}
