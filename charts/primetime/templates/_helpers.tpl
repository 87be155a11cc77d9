{{- define "primetime.labels" -}}
app.kubernetes.io/name: primetime
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "primetime.selector" -}}
app.kubernetes.io/name: primetime
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
