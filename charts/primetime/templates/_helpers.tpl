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

{{/* The Secret of the webhook. The type of a Secret cannot be changed, so that each kind of certificate has a name of its own. */}}
{{- define "primetime.webhook.secret" -}}
{{- if .Values.webhook.existingSecret }}{{ .Values.webhook.existingSecret }}
{{- else if .Values.webhook.cert }}{{ .Release.Name }}-webhook
{{- else if .Values.webhook.certManager.enabled }}{{ .Release.Name }}-webhook-certificate
{{- else }}{{ .Release.Name }}-webhook-made
{{- end }}
{{- end }}
