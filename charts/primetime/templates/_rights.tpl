{{/* The rows of rights.yaml whose feature is on, as JSON: {"rows": [...]}. A row whose names are not set is bound to none of them. */}}
{{- define "primetime.rights" -}}
{{- $on := dict
  "always" true
  "hpa.enabled" .Values.hpa.enabled
  "pods.enabled" .Values.pods.enabled
  "keda.enabled" .Values.keda.enabled
  "jobs.enabled" .Values.jobs.enabled
  "calendars.enabled" .Values.calendars.enabled
  "machines.enabled" .Values.machines.enabled
  "degrade.configMaps" .Values.degrade.configMaps
  "degrade.httpRoutes" .Values.degrade.httpRoutes }}
{{- $names := dict
  "calendars.configMaps" .Values.calendars.configMaps
  "degrade.configMaps" .Values.degrade.configMaps
  "degrade.httpRoutes" .Values.degrade.httpRoutes }}
{{- $rows := list }}
{{- range (.Files.Get "rights.yaml" | fromYamlArray) }}
{{- if get $on .feature }}
{{- $rows = append $rows (set (deepCopy .) "resourceNames" (get $names (.names | default "") | default list)) }}
{{- end }}
{{- end }}
{{- dict "rows" $rows | toJson }}
{{- end }}

{{/* The name of the operator's account, as the API server knows it. */}}
{{- define "primetime.account" -}}
{{ .Values.policies.account | default (printf "system:serviceaccount:%s:%s" .Release.Namespace (include "primetime.serviceAccount" .)) }}
{{- end }}
