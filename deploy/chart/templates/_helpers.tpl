{{/* A release that is named for the product is not named twice. */}}
{{- define "plumbline.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "plumbline.aggregator" -}}{{ include "plumbline.name" . }}-aggregator{{- end }}
{{- define "plumbline.agent" -}}{{ include "plumbline.name" . }}-agent{{- end }}

{{/* Never changes during the life of a release: a selector cannot. */}}
{{- define "plumbline.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "plumbline.labels" -}}
{{ include "plumbline.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "plumbline.probe" -}}
httpGet: {path: {{ .path }}, port: {{ .port }}{{ if .tls }}, scheme: HTTPS{{ end }}}
{{- end }}
