{{/* The parts that the policies of authors.yaml share. */}}
{{- define "primetime.author.match" }}
  matchConstraints:
    resourceRules:
      - apiGroups: [primetime.dev]
        apiVersions: [v1alpha1]
        operations: [CREATE, UPDATE]
        resources: [scheduledsurges, surgeruns]
  matchConditions:
    # The runs of a surge are created by the operator, and their author is the author of the surge.
    - name: not-the-operator
      expression: request.userInfo.username != {{ include "primetime.account" . | quote }}
    - name: spec-changed
      expression: request.operation == "CREATE" || object.spec != oldObject.spec
{{- end }}

{{- define "primetime.author.binding" }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels: {{- include "primetime.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  {{- if .params }}
  # Each object of the kind in the namespace of the announcement.
  paramRef: {selector: {}, parameterNotFoundAction: Allow}
  {{- end }}
{{- end }}
