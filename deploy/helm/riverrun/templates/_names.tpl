{{/* The release's name, or with the chart's if that is another one: the StatefulSet and the clients' Service. */}}
{{- define "riverrun.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* The headless Service, below which each pod has a name, ready or not. */}}
{{- define "riverrun.headless" -}}
{{ include "riverrun.name" . }}-nodes
{{- end }}

{{/* What follows a pod's name in its address. */}}
{{- define "riverrun.domain" -}}
{{ include "riverrun.headless" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* The Secret with the cluster's id and secret. */}}
{{- define "riverrun.clusterSecret" -}}
{{ .Values.cluster.existingSecret | default (printf "%s-cluster" (include "riverrun.name" .)) }}
{{- end }}

{{- define "riverrun.serviceAccount" -}}
{{ if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "riverrun.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "riverrun.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "riverrun.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "riverrun.labels" -}}
{{ include "riverrun.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What the HTTP port speaks. */}}
{{- define "riverrun.scheme" -}}
{{ if and .Values.tls.enabled (eq .Values.tls.http "tls") }}https{{ else }}http{{ end }}
{{- end }}

{{/* What gateways are to speak to clients' ports: HTTP/2 in clear text, where that is what nodes speak. */}}
{{- define "riverrun.protocol" -}}
{{ if not .Values.tls.enabled }}, appProtocol: kubernetes.io/h2c{{ end }}
{{- end }}
