{{- define "primetime.labels" -}}
app.kubernetes.io/name: primetime
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "primetime.selector" -}}
app.kubernetes.io/name: primetime
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "primetime.image" -}}
{{- $repository := .Values.image.repository | default "primetime" }}
{{- with .Values.image.digest }}{{ $repository }}@{{ . }}
{{- else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "primetime.serviceAccount" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end }}

{{/* The Secret of the webhook. The type of a Secret cannot be changed, so that each kind of certificate has a name of its own. */}}
{{- define "primetime.webhook.secret" -}}
{{- if .Values.webhook.existingSecret }}{{ .Values.webhook.existingSecret }}
{{- else if .Values.webhook.cert }}{{ .Release.Name }}-webhook
{{- else if .Values.webhook.certManager.enabled }}{{ .Release.Name }}-webhook-certificate
{{- else }}{{ .Release.Name }}-webhook-made
{{- end }}
{{- end }}

{{/* Where pods of the chart may run: the operator and its Jobs. */}}
{{- define "primetime.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
